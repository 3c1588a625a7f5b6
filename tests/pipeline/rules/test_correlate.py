"""How rules are applied: joins, bounds, order, and what a rule may say at all."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.classes.scan import ScanIndex
from pipeline.features import load_features
from pipeline.finding import LEVELS, Member
from pipeline.knowledge.check import broken_references
from pipeline.knowledge.schema import Correlation, Knowledge, Selection
from pipeline.rules import correlate
from pipeline.rules.correlate import Correlator, Group
from pipeline.steps import Steps
from tests.depth import examples
from tests.pipeline.composed import SCANS, Piece, indexed, knowledge, real, report
from tests.pipeline.knowledge.test_correlations import (
    CASES,
    CONTAINER,
    DROPPED,
    FORWARD,
    PATH_DIR,
    PING,
    SUDO,
    altered,
    ioc,
    mount,
    process,
    setid,
    writable,
)

MAX_CONTEXT = 16
OPEN = {"what": "status", "is": "open"}
Json = Mapping[str, object]
POOL = tuple({str(piece.finding): piece for case in CASES for piece in case.pieces}.values())


def with_rules(**rules: Json) -> Knowledge:
    base = {"title": "t", "why": "w", "first": "f"}
    made = {name: Correlation.model_validate({**base, **rule}) for name, rule in rules.items()}
    return knowledge().model_copy(update={"correlations": made})


def found(rule: Json, pieces: Sequence[Piece]) -> list[Group]:
    return Correlator(with_rules(rule=rule), "default").correlate(indexed(report(pieces)))


def side(*classes: str, **more: object) -> Json:
    return {"classes": list(classes), **more}


WRITABLE = side("world_writable.file")
SETID = side("suid_sgid.usr_local", "suid_sgid.expected", "suid_sgid.unexpected")
INDICATOR = side("ioc.world_writable_executable", "ioc.deleted_executable")


def join(left: str, right: str, **more: str) -> dict[str, str]:
    return {"left": left, "right": right, **more}


# What a rule means.


def test_a_rule_without_joins_is_one_group_with_all_its_members() -> None:
    (group,) = found({"members": {"a": WRITABLE, "b": SETID}}, [writable("/a"), SUDO, writable("/b")])
    assert group.members == (0, 1, 2)
    assert group.about == ""


def test_a_rule_with_a_join_holds_once_for_each_value() -> None:
    rule = {"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.slot.path", "b.slot.path")]}
    pieces = [writable("/usr/local/bin/x"), setid("/usr/local/bin/y"), setid("/usr/local/bin/x"),
              writable("/usr/local/bin/y"), writable("/usr/local/bin/z")]  # fmt: skip
    groups = found(rule, pieces)
    assert [(group.about, group.members) for group in groups] == [
        ("/usr/local/bin/x", (0, 2)), ("/usr/local/bin/y", (1, 3)),
    ]  # fmt: skip
    assert len({group.group for group in groups}) == 2


@pytest.mark.parametrize(
    ("transform", "left", "right", "about"),
    [
        ("none", "/usr/bin/x", "/usr/bin/x", "/usr/bin/x"),
        ("none", "/bin/x", "/usr/bin/x", None),
        ("same_file", "/bin/x", "/usr/bin/x", "/usr/bin/x"),
        ("same_file", "/binary/x", "/usr/binary/x", None),
        ("strip_deleted", "/usr/bin/x (deleted)", "/usr/bin/x", "/usr/bin/x"),
        ("basename", "/srv/x (deleted)", "/usr/bin/x", "x"),
        ("basename", "/srv/x", "/usr/bin/xx", None),
        ("dirname", "/usr/bin/y", "/bin/x", "/usr/bin"),
        ("dirname", "/y", "/x", "/"),
        ("dirname", "/usr/bin/y", "/usr/bin/sub/x", None),
    ],
)
def test_values_are_compared_after_the_transform(transform: str, left: str, right: str, about: str | None) -> None:
    rule = {
        "members": {"a": side("ioc.deleted_executable", "world_writable.file"), "b": SETID},
        "joins": [join("a.slot.exe|path", "b.slot.path", transform=transform)],
    }
    one = ioc(left, "deleted_executable") if left.endswith(")") else writable(left)
    assert [group.about for group in found(rule, [one, setid(right)])] == ([] if about is None else [about])


@pytest.mark.parametrize(
    ("path", "directories", "about"),
    [
        ("/opt/tools/bin/a", ["/opt/tools/bin"], "/opt/tools/bin"),
        ("/opt/tools/bin", ["/opt/tools/bin"], "/opt/tools/bin"),
        ("/opt/tools/bin/a", ["/opt", "/opt/tools/bin", "/opt/tools"], "/opt/tools/bin"),
        ("/opt/tools/bin/a", ["/opt/tools/bin/"], "/opt/tools/bin"),
        ("/opt/tools/bin/a", ["/"], "/"),
        ("/opt/tools/binary", ["/opt/tools/bin"], None),
        ("/opt", ["/opt/tools/bin"], None),
        ("/opt/other/a", ["/opt/tools/bin"], None),
    ],
)
def test_below_means_in_the_deepest_of_the_directories(path: str, directories: list[str], about: str | None) -> None:
    rule = {
        "members": {"a": WRITABLE, "b": side("world_writable.path_dir")},
        "joins": [join("a.slot.path", "b.slot.path", relation="below")],
    }
    pieces = [writable(path), *(PATH_DIR.but(id=directory) for directory in directories)]
    assert [group.about for group in found(rule, pieces)] == ([] if about is None else [about])


def test_a_name_that_is_no_path_lies_below_nothing() -> None:
    rule = {
        "members": {"a": side("processes.inventory"), "b": side("world_writable.path_dir")},
        "joins": [join("a.slot.command", "b.slot.path", relation="below")],
    }
    assert not found(rule, [process(7, 0, "sshd: /usr/sbin/sshd"), PATH_DIR.but(id="/")])


def test_the_first_value_that_a_finding_has_is_taken() -> None:
    rule = {
        "members": {"a": WRITABLE, "b": side("processes.inventory")},
        "joins": [join("a.slot.path", "b.slot.exe|command")],
    }
    running = process(7, 0, "/opt/a", exe_path="/opt/b")
    assert not found(rule, [writable("/opt/a"), running])
    assert found(rule, [writable("/opt/b"), running])


def test_all_joins_must_hold_for_the_same_findings() -> None:
    rule = {
        "members": {"a": INDICATOR, "b": side("processes.inventory"), "c": side("integrity.pkg_mismatch")},
        "joins": [join("a.slot.pid", "b.slot.pid"), join("a.slot.exe", "c.slot.path", transform="same_file")],
    }
    one, two = ioc("/tmp/a", "world_writable_executable", 1), ioc("/tmp/b", "world_writable_executable", 2)
    pieces = [one, two, process(1), process(2), altered("/tmp/b")]
    assert [group.members for group in found(rule, pieces)] == [(1, 3, 4)]
    assert not found(rule, [one, two, process(1), altered("/tmp/b")])


def test_joins_cut_each_other_down_until_nothing_changes() -> None:
    rule = {
        "members": {"a": WRITABLE, "b": SETID, "c": INDICATOR, "d": side("processes.inventory")},
        "joins": [
            join("a.slot.path", "b.slot.path", transform="dirname"),
            join("b.slot.path", "c.slot.exe", transform="basename"),
            join("c.slot.pid", "d.slot.pid"),
        ],
    }
    pieces = [writable("/srv/w"), setid("/srv/x"), setid("/srv/y"),
              ioc("/tmp/x", "world_writable_executable", 1), ioc("/tmp/y", "world_writable_executable", 2),
              process(2)]  # fmt: skip
    # /srv/x goes with pid 1, of which the inventory knows nothing, so that it is no part of the pattern.
    assert [group.members for group in found(rule, pieces)] == [(0, 2, 4, 5)]


def test_twins_count_once_towards_the_least_number() -> None:
    rule = {"members": {"a": side("world_writable.file", min=2), "b": SETID}}
    assert not found(rule, [writable("/a"), writable("/a"), SUDO])
    (group,) = found(rule, [writable("/a"), writable("/a"), writable("/b"), SUDO])
    assert group.members == (0, 1, 2, 3)


def test_the_least_number_is_asked_of_each_group() -> None:
    rule = {
        "members": {"a": side("world_writable.file", min=2), "b": SETID},
        "joins": [join("a.slot.path", "b.slot.path", transform="dirname")],
    }
    pieces = [writable("/a/1"), writable("/a/2"), setid("/a/s"), writable("/b/1"), setid("/b/s")]
    assert [group.about for group in found(rule, pieces)] == ["/a"]


def test_what_must_be_absent_ends_the_rule() -> None:
    rule = {"members": {"a": WRITABLE, "b": SETID}, "absent": [side("containers.container")]}
    assert found(rule, [writable("/a"), SUDO, FORWARD])
    assert not found(rule, [writable("/a"), SUDO, CONTAINER])


def test_findings_that_are_fine_take_part_only_where_a_rule_asks_for_them() -> None:
    asks = {"members": {"a": side("suid_sgid.expected", when=[OPEN]), "b": WRITABLE}}
    assert not found(asks, [SUDO, writable("/a")])
    assert found({"members": {"a": side("suid_sgid.expected"), "b": WRITABLE}}, [SUDO, writable("/a")])


def test_credible_leaves_out_what_the_scanner_gets_wrong() -> None:
    stock = real("web01-ioc.json", "suid_sgid", "/usr/bin/crontab")
    for credible, number in ((False, 1), (True, 0)):
        rule = {"members": {"a": side("suid_sgid.unexpected", credible=credible), "b": WRITABLE}}
        assert len(found(rule, [stock, writable("/a")])) == number
    # A likely artefact stands against /bin/ping as a second name of /usr/bin/ping.
    rule = {"members": {"a": side("world_writable.file_capability", credible=True), "b": WRITABLE}}
    assert not found(rule, [PING, writable("/a")])


def test_a_member_is_the_union_of_its_ways_in() -> None:
    selection = {"low": [Selection(classes=["suid_sgid.expected"])]}
    made = with_rules(rule={"members": {"a": {**WRITABLE, "or": [SETID], "use": ["low"]}, "b": INDICATOR}})
    correlator = Correlator(made.model_copy(update={"selections": selection}), "default")
    (group,) = correlator.correlate(indexed(report([SUDO, writable("/a"), setid("/usr/local/s"), DROPPED])))
    assert group.members == (0, 1, 2, 3)


def test_only_named_members_are_raised() -> None:
    rule = {"members": {"a": WRITABLE, "b": SETID}, "raises": "high", "raise_members": ["b"]}
    (group,) = found(rule, [writable("/a"), SUDO, setid("/usr/local/x")])
    assert group.raised == {1, 2}
    assert group.raises == "high"


# Bounds, order, sameness.


def test_context_that_is_not_joined_is_listed_in_part_and_the_same_part_in_any_order() -> None:
    rule = {
        "members": {"a": WRITABLE, "b": SETID, "c": INDICATOR},
        "joins": [join("a.slot.path", "b.slot.path")],
    }
    joined = [piece for n in range(9) for piece in (writable(f"/s/{n}"), setid(f"/s/{n}"))]
    context = [ioc(f"/tmp/{n}", "world_writable_executable", n) for n in range(100)]
    groups = found(rule, [*joined, *context])
    assert [len(group.members) for group in groups] == [2 + MAX_CONTEXT] * 9
    backwards = found(rule, [*reversed(context), *reversed(joined)])
    listed = [{context[seq - len(joined)].finding["id"] for seq in group.members if seq >= 18} for group in groups]
    again = [{context[99 - seq].finding["id"] for seq in group.members if seq < 100} for group in backwards]
    assert listed == again


def test_groups_that_raise_most_come_first_then_by_rule_and_first_member() -> None:
    base = {"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.slot.path", "b.slot.path")]}
    made = with_rules(
        a_tells=base,
        b_high={**base, "raises": "high", "raise_members": ["a"]},
        c_critical={**base, "raises": "critical", "raise_members": ["a"]},
        d_high={**base, "raises": "high", "raise_members": ["a"]},
    )
    pieces = [writable("/z"), writable("/b"), setid("/b"), setid("/z")]
    groups = Correlator(made, "default").correlate(indexed(report(pieces)))
    assert [(group.rule, group.about) for group in groups] == [
        (rule, about) for rule in ("c_critical", "b_high", "d_high", "a_tells") for about in ("/z", "/b")
    ]


def said(index: ScanIndex) -> Counter[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]]:
    """What the groups of a scan say, without where in the report it stands."""
    shipped = Correlator(knowledge(), "default")
    keys = [member.dedupe_key for member in index.members]
    return Counter(
        (
            group.rule, group.group, group.about, tuple(sorted(keys[seq] for seq in group.members)),
            tuple(sorted(keys[seq] for seq in group.raised)),
        )
        for group in shipped.correlate(index)
    )  # fmt: skip


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_order_of_findings_changes_nothing_but_where_they_stand(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.sampled_from(POOL), min_size=2, max_size=30))
    other = data.draw(st.permutations(pieces))
    assert said(indexed(report(pieces))) == said(indexed(report(other)))


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(POOL), min_size=2, max_size=40))
def test_members_are_findings_of_the_scan_once_each_in_order_and_bounded(pieces: list[Piece]) -> None:
    index = indexed(report(pieces))
    groups = Correlator(knowledge(), "default").correlate(index)
    assert groups == Correlator(knowledge(), "default").correlate(index)
    assert len({group.group for group in groups}) == len(groups)
    for group in groups:
        assert list(group.members) == sorted(set(group.members))
        assert set(group.members) <= set(range(len(pieces)))
        assert group.raised <= set(group.members)
    weights = [-1 if group.raises is None else LEVELS.index(group.raises) for group in groups]
    assert weights == sorted(weights, reverse=True)
    for rule in {group.rule for group in groups}:
        mine = [group for group in groups if group.rule == rule]
        # Each finding is in one group of a rule for each side that takes it, context apart.
        sides = len(knowledge().correlations[rule].members)
        assert sum(len(group.members) for group in mine) <= sides * len(pieces) + MAX_CONTEXT * len(mine)


def test_more_of_a_kind_gives_no_more_than_proportionally_more_members() -> None:
    pieces = [mount("tmp-noexec-missing", "/tmp")]
    pieces += [ioc(f"/tmp/{n}", "world_writable_executable", n) for n in range(300)]
    pieces += [process(n, 33) for n in range(300)]
    groups = Correlator(knowledge(), "default").correlate(indexed(report(pieces)))
    assert Counter(group.rule for group in groups) == {
        "process.runs_where_mount_lets_it": 1, "process.service_account_runs_dropped_program": 300,
    }  # fmt: skip
    assert sum(len(group.members) for group in groups) == 301 + 600


def test_nothing_depends_on_the_order_of_sets_in_memory() -> None:
    """Groups that share their first member are told apart by value, not by how values hash."""
    script = (
        "from tests.pipeline.composed import *\n"
        "from tests.pipeline.rules.test_correlate import *\n"
        "rule = {'members': {'a': WRITABLE, 'b': SETID, 'c': INDICATOR},"
        " 'joins': [join('a.slot.path', 'b.slot.path')]}\n"
        "pieces = [DROPPED] + [p for n in range(20) for p in (writable(f'/s/{n}'), setid(f'/s/{n}'))]\n"
        "print([(g.about, g.members) for g in found(rule, pieces)])\n"
        "print([(g.rule, g.members) for g in Correlator(knowledge(), 'default').correlate(indexed(report(POOL)))])\n"
    )
    root = Path(__file__).parents[3]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert "process." in outputs.pop()


def test_a_scan_is_searched_once_for_each_kind_of_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: Counter[int] = Counter()
    find = correlate._Selector.find

    def counted(self: correlate._Selector, *scan: Any) -> Steps[list[Member]]:
        searched[self.number] += 1
        return (yield from find(self, *scan))

    monkeypatch.setattr(correlate._Selector, "find", counted)
    assert Correlator(knowledge(), "default").correlate(indexed((SCANS / "web01-ioc.json").read_bytes()))
    assert searched and set(searched.values()) == {1}


# What is refused.


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"members": {"a": side("no.such"), "b": SETID}}, "no such class: no.such"),
        ({"members": {"a": {"use": ["no.such"]}, "b": SETID}}, "no such selection: no.such"),
        ({"members": {"a": {}, "b": SETID}}, "takes nothing"),
        ({"members": {"a": {"when": [OPEN], "use": ["file.altered"]}, "b": SETID}}, "classes of its own only"),
        ({"members": {"a": side("suid_sgid.expected", min=0)}}, "at least one member"),
        ({"members": {"a": WRITABLE}, "absent": [side("suid_sgid.expected", min=0)]}, "would always hold"),
        ({"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.slot.path", "c.slot.path")]}, "not MEMBER.slot"),
        ({"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.path", "b.slot.path")]}, "not MEMBER.slot"),
        ({"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.slot.exe", "b.slot.path")]}, "no such slot: exe"),
        (
            {"members": {"a": WRITABLE, "b": SETID}, "joins": [join("a.feature.kind", "b.feature.nope|kind")]},
            "no such feature: nope|kind",
        ),
        (
            {"members": {"a": WRITABLE, "b": {**SETID, "min": 0}}, "joins": [join("a.slot.path", "b.slot.path")]},
            "cannot be optional",
        ),
        ({"members": {"a": WRITABLE, "b": SETID}, "raises": "high", "raise_members": ["c"]}, "no such member: c"),
        ({"members": {"a": WRITABLE, "b": SETID}, "raises": "high"}, "stand together"),
        ({"members": {"a": WRITABLE, "b": SETID}, "raise_members": ["a"]}, "stand together"),
        (
            {
                "members": {"a": WRITABLE, "b": SETID, "c": INDICATOR},
                "joins": [join("a.slot.path", "b.slot.path")],
                "raises": "high",
                "raise_members": ["c"],
            },
            "context only",
        ),
        ({"members": {"a": WRITABLE, "b": SETID}, "techniques": ["T0000"]}, "no such technique"),
    ],
)
def test_a_rule_that_cannot_mean_what_it_says_is_refused(rule: Json, reason: str) -> None:
    problems = [text for _, text in broken_references(with_rules(rule=rule), load_features())]
    assert any(reason in text for text in problems), problems


def test_the_shipped_rules_are_sound() -> None:
    assert list(broken_references(knowledge(), load_features())) == []
