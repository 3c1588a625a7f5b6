"""Names and texts of an attacker's choosing: they come out as they went in, act on nothing and change no verdict."""

import copy
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, get_args

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.finding import LEVELS
from pipeline.harmless import as_json
from pipeline.report.escape import unescape
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.rules.signs import SignName
from pipeline.scorecard.payloads import HOSTILE, findings_with, harmless
from tests.depth import examples
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import (
    SCANS,
    documents,
    lines_of,
    made_up,
    record_of,
    resources,
    session_of,
    shared,
)


def acting(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


NAMED_BY_RULES = ("modules", "systemd_units")  # what is no name of a module or a unit is another kind of finding


def reasons(line: dict[str, Any]) -> list[dict[str, Any]]:
    """What the score is made of, but for signs: a name that hides is one itself, and may stand for another."""
    return [factor for factor in line["risk"]["factors"] if factor["name"] not in get_args(SignName)]


def levels(name: str, without: tuple[str, ...] = ()) -> list[int]:
    findings = [finding for finding in findings_with(name) if finding.scanner not in without]
    lines = documents(lines_of(session_of(made_up(findings), shared(), {})))
    return [LEVELS.index(line["risk"]["level"]) for line in lines]


def verdicts(name: str, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    findings = [finding for finding in findings_with(name) if finding.scanner not in without]
    lines = documents(lines_of(session_of(made_up(findings), shared(), {})))
    return [
        (line["class"], line["status"], line["status_basis"], line["severity"], reasons(line), line["artefact"],
         line["compliance"], line["attack"], [action["id"] for action in line["remediation"]],
         {key: word for key, word in line["features"].items() if key != "name"})
        for line in lines
    ]  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_name_is_judged_like_any_other(kind: str) -> None:
    """What makes a name odd (shell or control characters) is a word of ours among the features, and at most a sign."""
    assert verdicts(HOSTILE[kind], NAMED_BY_RULES) == verdicts("harmless", NAMED_BY_RULES)
    pairs = zip(levels(HOSTILE[kind], NAMED_BY_RULES), levels("harmless", NAMED_BY_RULES), strict=True)
    assert all(one >= other for one, other in pairs)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_hostile_name_says_changes_nothing(kind: str) -> None:
    assert harmless(HOSTILE[kind]) != HOSTILE[kind]
    assert verdicts(HOSTILE[kind]) == verdicts(harmless(HOSTILE[kind]))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_name_is_kept_as_it_is_and_acts_on_no_reader(kind: str) -> None:
    name = HOSTILE[kind]
    session = session_of(made_up(findings_with(name)), shared(), {})
    lines = lines_of(session)
    for line, document, raw in zip(lines, documents(lines), session.index.findings, strict=True):
        contract("enriched-1").check(document)
        assert line.line.count(b"\n") == 0
        assert document["dedupe_key"] == line.key
        said = document["finding"]
        assert (said["id"], said["title"], said["description"]) == (raw.id, raw.title, raw.description)
        assert said["metadata"] == raw.metadata
        shown = [document["analysis"], document["correlations"], document["risk"], document["artefact"]]
        shown += [{key: action[key] for key in action} for action in document["remediation"]]
        assert not any(acting(text) for text in texts(shown))
    record = record_of(session)
    contract("scan-1").check(record)
    assert not any(acting(text) for text in texts(record))
    assert len(orjson.dumps(record["issues"])) < 20_000 + 3 * len(name)


def test_no_question_to_a_model_holds_a_strangers_text() -> None:
    asked = []

    class Listening(PlainAnalyst):
        def analyse(self, question: Any, attempt: int) -> Any:
            asked.append(question)
            return super().analyse(question, attempt)

    findings = [finding for name in HOSTILE.values() for finding in findings_with(f"{name}-marker")]
    lines_of(session_of(made_up(findings, host="marker-host"), resources(analyst=Listening()), {}))
    assert asked
    assert not any("marker" in text for question in asked for text in _fields(question))


def _fields(question: Any) -> Iterator[str]:
    yield from texts(orjson.loads(orjson.dumps(asdict(question))))
    yield from (key for key in question.features)


def test_what_a_model_writes_is_made_safe_and_filled_in_once() -> None:
    class Writing(PlainAnalyst):
        def say(self, question: Any, attempt: int) -> Any:
            answer = super().say(question, attempt)
            return replace(answer, impact="\x1b[2J\u202e{path} {nosuch}", assessment="attempt 0.")

    finding = replace(findings_with("x")[0], id="/srv/{nosuch}\x07")
    (line,) = documents(lines_of(session_of(made_up([finding]), resources(analyst=Writing()), {})))
    assert line["analysis"]["origin"] == "model"
    assert line["analysis"]["impact"] == "\\x1b[2J\\u202e/srv/{nosuch}\\x07 <nosuch>"


KEYS = st.sampled_from(["dedupe_key", "schema", "finding", "lc", "$ref", "", "a", '"dedupe_key":"', "метка"]) | st.text(
    st.characters(codec="utf-8"), max_size=12
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(['"dedupe_key":"', '\\"dedupe_key\\":\\"', '{"dedupe_key":"x"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
REPORT = orjson.loads((SCANS / "micro-default.json").read_bytes())


@settings(max_examples=examples(60), deadline=None)
@given(metadata=st.dictionaries(KEYS, JSON, max_size=4), extra=st.dictionaries(KEYS, JSON, max_size=2), id_=JSON)
@example(metadata={"dedupe_key": "00"}, extra={"dedupe_key": {"dedupe_key": "x"}}, id_='"dedupe_key":"')
def test_any_metadata_comes_through_the_real_parser_into_a_whole_line(
    metadata: dict[str, Any], extra: dict[str, Any], id_: Any
) -> None:
    document = copy.deepcopy(REPORT)
    sections = [section for section in document["results"] if section["findings"]]
    defined = set(sections[0]["findings"][0])
    for section in sections:
        for finding in section["findings"]:
            finding["metadata"] = {**finding["metadata"], **metadata}
            finding.update({key: value for key, value in extra.items() if key not in defined})
        if isinstance(id_, str) and id_:
            section["findings"][0]["id"] = id_
    (parsed,) = read_document(orjson.dumps(document), Limits()).reports
    session = session_of(parsed, shared(), {})
    lines = lines_of(session)
    assert len(lines) == len(parsed.findings) > 10
    for line, raw in zip(lines, parsed.findings, strict=True):
        read = orjson.loads(line.line)
        assert read["dedupe_key"] == line.key
        assert as_json(read) == line.line
        assert read["finding"]["metadata"] == raw.metadata
        assert read["finding"].get("extra", {}) == raw.extra
    assert len({line.key for line in lines}) == len(lines)


def test_names_that_are_not_text_are_escaped_named_and_given_back_to_the_byte_in_commands() -> None:
    (real,) = read_document((SCANS / "malformed" / "real-invalid-utf8.json").read_bytes(), Limits()).reports
    lines = documents(lines_of(session_of(real, shared(), {})))
    escaped = [line for line in lines if line["finding"]["escaped"]]
    assert escaped
    for line in escaped:
        contract("enriched-1").check(line)
        for field in line["finding"]["escaped"]:
            scope, _, key = field.partition(".")
            value = line["finding"][scope][key] if key else line["finding"][scope]
            assert unescape(value).decode("utf-8", "replace") != value


def test_escaped_and_plain_names_that_look_alike_stay_apart() -> None:
    document = {
        "meta": {"hostname": "h", "cmdline": "sys-scan", "tool_version": "6.0.0"},
        "summary": {"finding_count_emitted": 2},
        "results": [
            {"scanner": "world_writable", "findings": [
                {"id": name, "title": "World-writable file", "description": "File is world writable",
                 "severity": "high", "base_severity_score": "70", "metadata": {}}
                for name in ("/srv/bot@", "/srv/bot\\xff")
            ]},
        ],
    }  # fmt: skip
    (parsed,) = read_document(orjson.dumps(document).replace(b"@", b"\xff"), Limits()).reports
    one, other = documents(lines_of(session_of(parsed, shared(), {})))
    assert one["finding"]["id"] == other["finding"]["id"]
    assert (one["finding"]["escaped"], other["finding"]["escaped"]) == (["id"], [])
    assert one["fingerprint"] != other["fingerprint"]
    assert one["occurrences"] == other["occurrences"] == 1
    commands = [[action["command"] for action in line["remediation"] if action["command"]] for line in (one, other)]
    assert commands[0] != commands[1]
    assert any("\\377" in command for command in commands[0])
