"""Every line is short enough for the shippers, says what was cut from it, and stays a record of its format."""

import random
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contract import Items, Pattern, record_fields
from pipeline.finding import RawFinding
from pipeline.output.cut import shortened
from pipeline.output.lines import (
    LONGEST,
    MOST,
    fitted,
    line_of,
    scan_lines,
    scan_records,
    whole_record,
    without_samples,
)
from pipeline.output.read import read_finding, read_issue, read_scan, read_scan_line, read_verdict
from pipeline.output.records import (
    Analysis,
    Cut,
    CutPart,
    EnrichedFinding,
    FirstAction,
    IssueRecord,
    ScanLine,
    ScanRecord,
    VerdictRecord,
)
from pipeline.output.write import write
from pipeline.rules.remediate import Action
from tests.depth import examples, is_deep
from tests.pipeline.output.any_record import full
from tests.pipeline.output.formats.exported import real_scans
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import lines_of, made_up, session_of, shared

LINES: list[tuple[str, type, Callable[[bytes], Any]]] = [
    ("enriched-1", EnrichedFinding, read_finding),
    ("issue-1", IssueRecord, read_issue),
    ("scan-line-1", ScanLine, read_scan_line),
    ("verdict-1", VerdictRecord, read_verdict),
]
# One character each that is written as one, two, four and six bytes.
KINDS_OF_CHARACTERS = ("x", "é", "𝔡", "\x1b")
# At most, by how many lists are around: a record shall be large, and not fill the memory.
_ITEMS = (120, 30, 6, 3) if is_deep() else (60, 16, 4, 2)
_CHARACTERS = (50_000, 3_000, 300, 100)


class Swollen:
    """Makes a record out of its type in which some texts, lists and objects are far too long."""

    def __init__(self, seed: int, share: float) -> None:
        """Args: `share`: how many of all values are too long, 0 to 1."""
        self._random = random.Random(seed)
        self._share = share

    def of(self, hint: Any, depth: int = 0) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            if any(isinstance(one, Pattern) for one in arguments[1:]):
                return full(hint)
            most = next((one.most for one in arguments[1:] if isinstance(one, Items) and one.most), None)
            value = self.of(arguments[0], depth)
            if any(isinstance(one, Items) and one.unique for one in arguments[1:]):
                return value[:1]  # they are all the same here
            return value[:most] if most is not None else value
        if origin in (Union, types.UnionType):
            return self.of(next(one for one in arguments if one is not type(None)), depth)
        if origin is tuple:
            one = self.of(arguments[0], depth + 1)
            return (one,) * self._many(_ITEMS[min(depth, 3)])
        if origin is Mapping and get_origin(arguments[0]) is not Literal:
            value = self.of(arguments[1], depth + 1)
            return {self.of(str, depth + 1) + str(number): value for number in range(self._many(_ITEMS[min(depth, 3)]))}
        if is_dataclass(hint):
            assert isinstance(hint, type)
            made = hint(**{field.name: self.of(field.hint, depth) for field in record_fields(hint)})
            if isinstance(made, Action | FirstAction):
                made = replace(made, contraindicated=None)
            return replace(made, fallback_reason=None) if isinstance(made, Analysis) else made
        if hint is str:
            return self._random.choice(KINDS_OF_CHARACTERS) * self._many(_CHARACTERS[min(depth, 3)])
        if hint is Any:
            nested: Any = self.of(str)
            for _ in range(self._many(30)):
                nested = {"a": [nested], "b": nested} if len(orjson.dumps(nested)) < 1 << 18 else [nested]
            return nested
        return full(hint)

    def _many(self, most: int) -> int:
        return self._random.randint(2, most) if self._random.random() < self._share else 1


def made(kind: type, seed: int, share: float) -> Any:
    return replace(Swollen(seed, share).of(kind), cut=None)


hostile = settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize(("name", "kind", "read"), LINES)
@hostile
@given(seed=st.integers(0, 1 << 30), share=st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]))
def test_a_line_is_short_enough_and_a_record_of_its_format_whatever_is_in_it(
    name: str, kind: type, read: Callable[[bytes], Any], seed: int, share: float
) -> None:
    record = made(kind, seed, share)
    line = line_of(record)
    assert len(line) + 1 <= LONGEST
    contract(name).whole.validate(orjson.loads(line))
    short = read(line)
    assert write(short) == line
    if len(write(record)) < LONGEST:
        assert short == record
    else:
        assert short.cut is not None
        said = short.cut.parts
        assert all(part.kept < part.of for part in said)
        assert short.cut.whole.startswith("sysscan-agent ")
        assert replace(short, cut=None) != record


@pytest.mark.parametrize(("name", "kind", "read"), LINES)
def test_what_has_a_form_is_never_cut(name: str, kind: type, read: Callable[[bytes], Any]) -> None:
    record = made(kind, 7, 1.0)
    short = fitted(record)
    assert len(write(record)) > LONGEST
    for field in record_fields(kind):
        if get_origin(field.hint) is Annotated and any(isinstance(one, Pattern) for one in get_args(field.hint)[1:]):
            assert getattr(short, field.name) == getattr(record, field.name), field.name


def test_a_command_is_whole_or_not_there_and_its_check_and_way_back_go_with_it() -> None:
    record = full(EnrichedFinding)
    action = Action("id", "summary", "rm -rf /tmp/" + "x" * 40_000, None, "test -e x", "cp back x")
    kept = replace(action, command="true")
    short = fitted(replace(record, remediation=(action, kept), cut=None))
    assert short.remediation == (replace(action, command=None, check=None, rollback=None), kept)
    assert short.cut is not None
    (part,) = short.cut.parts
    assert (part.what, part.unit, part.kept, part.of) == ("remediation[].command", "bytes", 0, 40_012)


def test_the_mark_counts_what_is_there_and_what_there_was() -> None:
    record = replace(full(EnrichedFinding), cut=None)
    finding = replace(record.finding, description="é" * 60_000)
    short = fitted(replace(record, finding=finding, threat_intel=record.threat_intel * 5_000))
    assert short.cut is not None
    marks = {part.what: part for part in short.cut.parts}
    of_list, of_text = marks["threat_intel"], marks["finding.description"]
    assert (of_list.unit, of_list.kept, of_list.of) == ("items", len(short.threat_intel), 5_000)
    assert short.finding.description is not None
    assert short.finding.description.endswith("é…")
    assert (of_text.unit, of_text.kept, of_text.of) == ("bytes", len(short.finding.description.encode()), 120_000)


def test_what_was_cut_before_is_handed_on_as_it_is() -> None:
    short = fitted(made(EnrichedFinding, 3, 1.0))
    assert short.cut is not None and short.cut.others
    assert fitted(short) is short


def test_what_fits_is_the_same_object_and_says_nothing_of_a_cut() -> None:
    record = replace(full(EnrichedFinding), cut=None)
    size = len(write(record))
    assert shortened(record, size, "x") is record
    assert isinstance(shortened(replace(record, category="c" * 9_000), size + 2_000, "x").cut, Cut)


def test_no_line_of_a_real_scan_is_too_long_or_cut_and_the_record_comes_back_from_its_lines() -> None:
    longest = 0
    for name, scan in real_scans():
        record = scan.record
        assert record is not None
        *issues, last = scan_lines(record)
        longest = max(longest, len(last), *map(len, issues), 0)
        line, of = read_scan_line(last), [read_issue(one) for one in issues]
        keys = {line.dedupe_key, *(one.dedupe_key for one in of)}
        assert line.cut is None and all(one.cut is None for one in of), name
        assert [(one.id, one.lines) for one in line.issues] == [(one.id, one.lines) for one in record.issues]
        assert [one.rank for one in of] == list(range(1, len(of) + 1))
        assert len(keys) == len(of) + 1
        assert without_samples(whole_record(line, reversed(of))) == without_samples(record), name
        contract("scan-line-1").check(orjson.loads(last))
        for one in issues:
            contract("issue-1").check(orjson.loads(one))
    assert LONGEST // 2 < longest < LONGEST


def test_of_five_thousand_issues_the_worst_are_a_line_each_and_the_scan_says_how_many_it_lists() -> None:
    titles = ("".join(chr(97 + int(digit)) for digit in f"{number:04}") for number in range(5_000))
    raws = [RawFinding("new_scanner", f"id {title}", "high", title=f"Strange {title}") for title in titles]
    record = _record(*raws)
    *issues, last = scan_lines(record)
    assert len(record.issues) == 5_000
    assert [read_issue(one).id for one in issues] == [one.id for one in record.issues[:MOST]]
    assert all(len(one) < LONGEST for one in (*issues, last))
    line = read_scan_line(last)
    assert line.cut is not None
    (part,) = (part for part in line.cut.parts if part.what == "issues")
    assert (part.kept, part.of) == (len(line.issues), 5_000)
    assert line.cut.whole == f"sysscan-agent report {record.scan_id} --format json"
    assert len(line.issues) > 40


def test_an_issue_of_thousands_of_findings_and_long_paths_is_a_short_line() -> None:
    many = 10_000 if is_deep() else 1_000
    paths = [f"/{'p' * 4_000}{number}" for number in range(many)]
    record = _record(*[RawFinding("world_writable", path, "medium", title=path) for path in paths])
    assert sum(issue.lines for issue in record.issues) == many
    assert all(len(one) < LONGEST for one in scan_lines(record))


def test_a_finding_with_fields_of_a_megabyte_is_a_short_line_that_keeps_its_keys() -> None:
    raw = RawFinding(
        "new_scanner", "/" + "i" * (1 << 20), "high", title="t" * (1 << 20), description="d\x1b" * (1 << 19),
        metadata={"m" * (1 << 20): "v" * (1 << 20), "k": ["x" * 1000] * 1000},
    )  # fmt: skip
    session = session_of(made_up([raw]), shared(), {})
    (whole,) = (read_finding(one.line) for one in lines_of(session))
    line = line_of(whole)
    assert len(line) < LONGEST
    short = read_finding(line)
    assert (short.dedupe_key, short.fingerprint, short.risk.level) == (
        whole.dedupe_key,
        whole.fingerprint,
        whole.risk.level,
    )
    assert short.cut is not None
    assert {"finding.id", "finding.title", "finding.description", "finding.metadata"} <= {
        part.what for part in short.cut.parts
    }


def _record(*raws: RawFinding) -> ScanRecord:
    session = session_of(made_up(raws), shared(), {})
    lines_of(session)
    return session.record()


def test_a_record_with_its_issues_in_it_reads_as_before() -> None:
    (record,) = (scan.record for name, scan in real_scans() if name == "web01-ioc.json")
    assert record is not None
    assert read_scan(write(record)) == record


@pytest.mark.parametrize("title", ['x"issues":[{"actions":', '},{"actions":', '],"min_severity":', "plain"])
@pytest.mark.parametrize("many", [1, MOST, MOST + 1, MOST + 7])
def test_a_long_list_ends_at_its_most_and_says_how_long_it_was(title: str, many: int) -> None:
    record = replace(full(ScanRecord), story=(), cut=None)
    issue, section = replace(record.issues[0], title=title), record.baseline
    assert section is not None
    gone = replace(section.resolved[0], label=title)
    record = replace(
        record,
        issues=tuple(replace(issue, id=f"{number:032x}") for number in range(many)),
        baseline=replace(section, resolved=(gone,) * (many + 1)),
    )
    *issues, last = scan_records(write(record))
    assert isinstance(last, ScanLine) and last.baseline is not None
    assert [one.id for one in issues if isinstance(one, IssueRecord)] == [one.id for one in record.issues[:MOST]]
    assert all(one.title == title for one in last.issues)
    assert len(last.baseline.resolved) == min(many + 1, MOST)
    parts = () if last.cut is None else last.cut.parts
    wanted = {"issues": many, "baseline.resolved": many + 1}
    assert {part.what: part.of for part in parts} == {what: of for what, of in wanted.items() if of > MOST}
    short = fitted(last)
    said = {part.what: (part.kept, part.of) for part in (short.cut.parts if short.cut is not None else ())}
    for what, of in wanted.items():
        if of > MOST:
            assert short.baseline is not None
            here = len(short.issues) if what == "issues" else len(short.baseline.resolved)
            assert said[what] == (here, of)


def test_a_record_that_fits_although_a_list_of_it_was_long_says_so() -> None:
    line = replace(full(ScanLine), cut=Cut((CutPart("issues", "items", 1, 5),), ""))
    short = fitted(line)
    assert short.cut is not None
    assert (short.cut.parts, short.cut.whole) == (
        line.cut and line.cut.parts,
        "sysscan-agent report text --format json",
    )
