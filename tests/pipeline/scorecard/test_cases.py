"""Cases with right answers come back from a file as they went in, and what is none is refused by its line."""

import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.question import Answer
from pipeline.errors import ConfigError
from pipeline.finding import LEVELS
from pipeline.scorecard.cases import GoldCase, gold, read_gold, write_gold
from tests.pipeline.scorecard.speakers import a_case, line_of

CASE = a_case(artefact=("suid_sgid.known", "likely"), context=("process.near",))
ANSWER = Answer("{path} is probably meant.", "None.", "medium", ("T1548.001",), ("nist_800_53_r5:CM-7",), "file.mode")
GOLD = GoldCase(CASE, ANSWER, "medium", "situation")


@given(
    level=st.sampled_from(LEVELS[1:]),
    controls=st.sets(st.sampled_from(CASE.controls)),
    techniques=st.sets(st.sampled_from(CASE.techniques)),
    action=st.sampled_from([None, *CASE.actions]),
    situation=st.text(),
)
def test_a_case_is_read_as_it_was_written(
    level: str, controls: set[str], techniques: set[str], action: str | None, situation: str
) -> None:
    answer = Answer("It is so.", "None.", level, tuple(techniques), tuple(sorted(controls)), action)  # type: ignore[arg-type]
    one = GoldCase(CASE, answer, "low", situation)
    assert gold(orjson.loads(one.as_json())) == one


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_files_may_be_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_gold(path, [GOLD, GOLD])
    if not name.endswith(".gz"):
        path.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_gold(path, "mend it") == (GOLD, GOLD)


def test_the_same_cases_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_gold(tmp_path / name, [GOLD])
    one = (tmp_path / "a.gz").read_bytes()
    assert one == (tmp_path / "b.gz").read_bytes()
    assert one[3] == 0 and one[4:8] == bytes(4)  # neither a name nor a time


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "2: not a case: unexpected end of data"),
        (b"[]", "2: not a case: list indices"),
        (b"{}", "2: not a case: no 'case'; mend it"),
        (GOLD.as_json().replace(b"floor", b"ceiling"), "2: not a case: Case.__init__() got an unexpected keyword"),
        (GOLD.as_json().replace(b'medium\\"', b'dreadful\\"'), "2: not a case: level: not one of the candidates"),
    ],
)
def test_a_line_that_is_no_case_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes((GOLD.as_json() + b"\n") * 3)
    line_of(path, 2, line)
    with pytest.raises(ConfigError) as error:
        read_gold(path, "mend it")
    assert f"{path}:{said}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:60] + b"x" * 40, lambda data: b"plain"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "cases.jsonl.gz"
    write_gold(path, [GOLD] * 50)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match="mend it"):
        read_gold(path, "mend it")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; mend it"):
        read_gold(tmp_path / "none.jsonl", "mend it")
