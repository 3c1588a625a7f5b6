"""The frozen holdouts: what they promise, and what becomes of a directory that is none."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.errors import ConfigError
from pipeline.scorecard.cases import GoldCase, compressed
from pipeline.scorecard.holdouts import FACTS, FROZEN, NEAREST, Holdouts, read_holdouts, write_holdouts
from pipeline.scorecard.nearest import Nearest

HOLDOUTS = read_holdouts()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_holdouts(tmp_path, HOLDOUTS.limited(3))
    return tmp_path


def test_the_package_has_both_and_they_are_small() -> None:
    assert {name: len(cases) for name, cases in HOLDOUTS.cases.items()} == {"instance": 400, "class": 400}
    assert sum(path.stat().st_size for path in FROZEN.iterdir()) < 300_000


def test_the_description_names_the_very_cases() -> None:
    assert orjson.loads((FROZEN / FACTS).read_bytes())["digest"] == HOLDOUTS.digest


def test_every_right_answer_stands_up_to_critique() -> None:
    wrong = [critique(one.case, one.answer) for cases in HOLDOUTS.cases.values() for one in cases]
    assert wrong == [None] * 800


def test_no_case_is_there_twice_and_no_class_outweighs_the_others() -> None:
    for cases in HOLDOUTS.cases.values():
        assert len({one.as_json() for one in cases}) == len(cases)
        counts = Counter(one.class_id for one in cases)
        assert max(counts.values()) <= 2 * len(cases) / len(counts)


def test_any_beginning_is_as_even_as_the_whole() -> None:
    for cases in HOLDOUTS.limited(40).cases.values():
        counts = Counter(one.class_id for one in cases)
        assert len(cases) == 40
        assert max(counts.values()) - min(counts.values()) <= 1


def test_the_baseline_knows_all_classes_of_the_one_and_none_of_the_other() -> None:
    assert HOLDOUTS.nearest is not None
    nearest = HOLDOUTS.nearest
    assert all(nearest.class_of(one.case) == one.class_id for one in HOLDOUTS.cases["instance"])
    assert all(nearest.class_of(one.case) != one.class_id for one in HOLDOUTS.cases["class"])


def test_what_is_written_is_read_and_the_same_bytes_come_again(small: Path, tmp_path: Path) -> None:
    read = read_holdouts(small)
    assert read.cases == HOLDOUTS.limited(3).cases
    assert read.facts == HOLDOUTS.facts
    write_holdouts(tmp_path / "again", read)
    for path in sorted((tmp_path / "again").iterdir()):
        assert path.read_bytes() == (small / path.name).read_bytes()


def test_other_knowledge_or_another_prompt_is_said_in_one_line() -> None:
    made = Holdouts({}, {"knowledge": "k1", "prompt": PROMPT_VERSION}, None)
    assert made.differences("k1") is None
    said = made.differences("k2")
    assert said == ("the holdouts were made with knowledge k1 (installed: k2): their right answers may differ")
    assert "prompt old" in str(replace(made, facts={"knowledge": "k1", "prompt": "old"}).differences("k1"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (FACTS, b"{", "unexpected"),
        (FACTS, b"[]", "not an object"),
        (FACTS, b'{"schema": "sysscan.holdout/9"}', "schema 'sysscan.holdout/9', this version reads"),
        (NEAREST, b"no gzip", "cannot be read"),
        (NEAREST, compressed(b'{"a": 1}'), "cannot be read"),
        ("class.jsonl.gz", compressed(b""), "a holdout without any case"),
        ("class.jsonl.gz", compressed(b"{}\n"), "class.jsonl.gz:1: not a case"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(small: Path, name: str, content: bytes, said: str) -> None:
    (small / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_holdouts(small)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; name a directory that `sysscan-train holdout`"):
        read_holdouts(tmp_path)


def test_a_data_set_will_do(tmp_path: Path) -> None:
    cases = HOLDOUTS.cases["instance"]

    def write(name: str, of: tuple[GoldCase, ...]) -> None:
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(one.as_json() + b"\n" for one in of))

    write("train", tuple(cases[:50]))
    write("valid", tuple(cases[50:52]))
    write("holdout", tuple(HOLDOUTS.cases["class"][:2]))
    (tmp_path / "dataset.json").write_bytes(orjson.dumps({"digest": "d", "knowledge": "k", "prompt": "p", "seed": 4}))
    read = read_holdouts(tmp_path)
    assert read.facts == {"data": "d", "knowledge": "k", "prompt": "p", "seed": 4}
    assert read.cases == {"instance": tuple(cases[50:52]), "class": tuple(HOLDOUTS.cases["class"][:2])}
    assert read.nearest is not None
    assert read.nearest.as_json() == Nearest.learn(cases[:50]).as_json()
