"""When partitions are added, each host's state is where it is read from, and no two scans have one number."""

import zlib
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.lane.adoption import Adoption, OldPartition, adopt
from daemon.lane.mark import Cut, Mark
from pipeline.errors import ConfigError
from pipeline.review.chain import Head
from tests.depth import examples

NEW = "adopted"


def place_of(key: bytes, count: int) -> int:
    return zlib.crc32(key) % count


def close(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value))


def opened(value: bytes) -> Any:
    return orjson.loads(zlib.decompress(value))


def host_name(host: str) -> str:
    return orjson.dumps(["host", host]).decode()


def piece_name(host: str, profile: str, number: int) -> str:
    return orjson.dumps(["baseline", host, profile, number]).decode()


def states_of(host: str, numbers: list[int], pieces: int = 1, through: int = 9) -> dict[str, bytes]:
    history = [[number, f"{host}-{number}", host, None, 0, "c", "t", "p", "kafka-lines"] for number in numbers]
    found = {
        host_name(host): close(
            {"through": through, "history": history, "pieces": [[host, "p", pieces]] if pieces else [], "context": None}
        )
    }
    for number in range(pieces):
        rows = [[f"{host}{number}{at}", "class", "open", "c", "t", at, 1, "l"] for at in numbers]
        found[piece_name(host, "p", number)] = close({"rows": rows})
    return found


def old(before: int, hosts: dict[str, list[int]], **others: Any) -> dict[int, OldPartition]:
    states: dict[int, dict[str, bytes]] = {number: {"mark": b"x"} for number in range(before)}
    for host, numbers in hosts.items():
        states[place_of(host.encode(), before)] |= states_of(host, numbers)
    return {
        number: OldPartition(
            Mark(10, "led", 5, "k", 3, (9, "d"), before, {"s": Cut(1, 1)}), 10, partial(dict, states[number]), **others
        )
        for number in range(before)
    }


def applied(before: dict[int, OldPartition], adoption: Adoption) -> dict[int, dict[str, bytes]]:
    """Write the records as the compacted topic would keep them."""
    topic = {number: dict(one.states()) for number, one in before.items()}
    for place, key, value in adoption.records():
        kept = topic.setdefault(place, {})
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    return topic


HOSTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(sorted),
    max_size=8,
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(hosts=HOSTS, before=st.integers(1, 4), more=st.integers(1, 9))
def test_each_host_is_where_it_is_read_from_and_numbers_differ(
    hosts: dict[str, list[int]], before: int, more: int
) -> None:
    after = before + more
    hosts = {
        host: [100 * one + at for one in ones] for at, (host, ones) in enumerate(hosts.items())
    }  # as a ledger does
    partitions = old(before, hosts)
    adoption = adopt(partitions, [0] * after, place_of, NEW)
    topic = applied(partitions, adoption)
    seen: dict[str, int] = {}
    for place, kept in topic.items():
        numbers: list[int] = []
        for key, value in kept.items():
            if key.startswith('["host",'):
                host = orjson.loads(key)[1]
                assert place == place_of(host.encode(), after) and host not in seen
                seen[host] = place
                state = opened(value)
                ours = [row[0] for row in state["history"]]
                assert ours == sorted(set(ours)) and [row[1] for row in state["history"]] == [
                    f"{host}-{number}" for number in hosts[host]
                ]
                numbers += ours
                assert state["through"] == (9 if place == place_of(host.encode(), before) else 0)
                for name, profile, pieces in state["pieces"]:
                    for number in range(pieces):
                        rows = opened(kept[piece_name(name, profile, number)])["rows"]
                        assert [row[5] for row in rows] == ours  # they were numbered as the scans
        assert len(set(numbers)) == len(numbers)
        here = {orjson.loads(key)[1] for key in kept if key.startswith('["host",')}
        assert {orjson.loads(key)[1] for key in kept if key.startswith('["baseline",')} == here
    assert seen.keys() == hosts.keys()
    assert adoption.hosts == len(hosts)
    assert adoption.moved == sum(place_of(h.encode(), before) != place_of(h.encode(), after) for h in hosts)


def test_marks_go_on_where_they_were_under_a_ledger_that_nobody_has() -> None:
    adoption = adopt(old(2, {}), [0, 0, 4], place_of, NEW)
    assert adoption.marks == {
        0: Mark(10, NEW, 0, "", 3, (9, "d"), 3, {}),
        1: Mark(10, NEW, 0, "", 3, (9, "d"), 3, {}),
        2: Mark(4, NEW, 0, "", -1, (-1, ""), 3, {}),
    }


def test_partitions_must_have_told_of_the_same_verdicts() -> None:
    partitions = old(2, {})
    told = Head(3, "ab" * 32)
    partitions[1] = replace(partitions[1], mark=replace(partitions[1].mark, told=told))
    with pytest.raises(ConfigError, match="partitions 0 have told of the verdicts up to 0 only"):
        adopt(partitions, [0] * 3, place_of, NEW)
    assert {mark.told for mark in adopt(partitions, [0] * 3, place_of, NEW, force=True).marks.values()} == {told}


def test_states_of_one_partition_are_held_at_a_time() -> None:
    """Each is read when its turn comes, to be looked at and to be written, and nothing is kept of it."""
    hosts = {f"h{number}": [number] for number in range(20)}
    partitions = old(4, hosts)
    read: list[int] = []

    def states(number: int, kept: dict[str, bytes]) -> dict[str, bytes]:
        read.append(number)
        return kept

    followed = {
        number: replace(one, states=partial(states, number, dict(one.states()))) for number, one in partitions.items()
    }
    told: list[str] = []
    adoption = adopt(followed, [0] * 8, place_of, NEW, tell=told.append)
    assert read == [0, 1, 2, 3] and len(told) == 4
    records = adoption.records()
    next(records)
    assert read == [0, 1, 2, 3, 0]
    assert len(list(records)) > 40 and read == [0, 1, 2, 3] * 2 and told[-1] == "4 of 4 partitions written"


def test_fewer_or_as_many_partitions_are_nothing_to_adopt() -> None:
    for after in (1, 2):
        with pytest.raises(ConfigError, match="nothing to adopt"):
            adopt(old(2, {}), [0] * after, place_of, NEW)


def test_partitions_that_were_delivered_under_different_numbers_are_refused() -> None:
    partitions = old(2, {})
    partitions[1] = OldPartition(Mark(1, "l", partitions=3), 1, dict)
    with pytest.raises(ConfigError, match="different numbers"):
        adopt(partitions, [0] * 4, place_of, NEW)


def test_a_host_in_the_wrong_place_is_named() -> None:
    partitions = old(2, {})
    wrong = 1 - place_of(b"stray", 2)
    partitions[wrong] = OldPartition(partitions[wrong].mark, 10, lambda: states_of("stray", [1]))
    with pytest.raises(ConfigError, match="stray"):
        adopt(partitions, [0] * 3, place_of, NEW)


def test_a_piece_that_is_missing_is_named_and_damage_is_no_traceback() -> None:
    partitions = old(1, {})
    whole = states_of("h", [1], pieces=2)
    partitions[0] = OldPartition(
        partitions[0].mark, 10, lambda: {k: v for k, v in whole.items() if k != piece_name("h", "p", 1)}
    )
    with pytest.raises(ConfigError, match="piece 1 of 2"):
        adopt(partitions, [0] * 2, place_of, NEW)
    partitions[0] = OldPartition(partitions[0].mark, 10, lambda: {host_name("h"): b"rubbish"})
    with pytest.raises(ConfigError, match="cannot be read"):
        adopt(partitions, [0] * 2, place_of, NEW)


@pytest.mark.parametrize("key", [None, "moves", "stays"])
def test_records_of_hosts_that_move_must_be_delivered_before(key: str | None) -> None:
    names = [f"h{number}" for number in range(50)]
    here = [name for name in names if place_of(name.encode(), 1) == 0]
    stays = next(name for name in here if place_of(name.encode(), 2) == 0)
    moves = next(name for name in here if place_of(name.encode(), 2) == 1)
    waiting = [None if key is None else {"moves": moves, "stays": stays}[key].encode()]
    partitions = {0: OldPartition(Mark(10, "l", partitions=1), 11, dict, waiting)}
    if key == "stays":
        assert adopt(partitions, [0] * 2, place_of, NEW).marks[0].offset == 10
        return
    with pytest.raises(ConfigError, match="1 records are not delivered, 1 of them of hosts that move"):
        adopt(partitions, [0] * 2, place_of, NEW)
    assert adopt(partitions, [0] * 2, place_of, NEW, force=True).marks[0].offset == 10
