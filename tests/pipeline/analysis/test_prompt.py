"""What a model is shown, what it may answer, and what is refused."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.case import MAX_ACTIONS, MAX_CONTEXT, MAX_TECHNIQUES, CaseMaker, selection
from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import (
    INSTRUCTION,
    MAX_ASSESSMENT,
    MAX_IMPACT,
    RESPONSE,
    BadResponse,
    Case,
    parse_response,
    render_prompt,
    render_response,
    response_schema,
    shorten,
)
from pipeline.analysis.question import Answer, Question
from pipeline.classes.scan import ScanContext
from pipeline.finding import LEVELS, RawFinding, ScanHeader
from pipeline.graph.session import ScanSession
from pipeline.scorecard.payloads import HOSTILE, findings_with
from tests.pipeline.sessions import corpus, knowledge, reports, shared

MARK = "zqxjkvw"  # stands in no list of ours

CASE = Case(
    class_id="suid_sgid.unexpected",
    category="privileged_file",
    title="Setuid or setgid program beyond the scanner's list",
    status="open",
    floor="medium",
    features={"place": "usr_local", "owner": "none"},
    placeholders=("path",),
    context=("files.setid_shell_seen_twice",),
    artefact=("suid_sgid.stock_but_not_listed", "likely"),
    controls=("nist_800_53_r5:AC-6", "pci_dss_4_0:2.2.6"),
    techniques=("T1548.001",),
    actions=("file.investigate_setuid", "file.verify_package"),
    barred=("file.remove_setuid",),
)
ANSWER = Answer(
    assessment="{path} is set-id, and the scanner's list is probably too short.",
    impact="Every local user can start it with its owner's rights.",
    level="high",
    techniques=("T1548.001",),
    controls=("nist_800_53_r5:AC-6",),
    remediation="file.verify_package",
)


def questions(header: ScanHeader, findings: list[RawFinding]) -> Iterator[Question]:
    context = ScanContext(0, "scan", "host", "report", header, True, 0, "2026-11-30T00:00:00Z")
    session = ScanSession.of(context, findings, shared(), None)
    known = {session.question(member.seq).key: session.question(member.seq) for member in session.index.members}
    yield from known.values()


def prompts(header: ScanHeader, findings: list[RawFinding]) -> Iterator[str]:
    maker = CaseMaker(knowledge())
    for question in questions(header, findings):
        yield render_prompt(maker.case(question))


class TestPrompt:
    def test_a_prompt_is_the_instruction_a_json_object_and_the_place_of_the_response(self) -> None:
        text = render_prompt(CASE)
        assert text.startswith(INSTRUCTION)
        assert text.endswith(RESPONSE)
        body = json.loads(text.removeprefix(INSTRUCTION).removesuffix(RESPONSE))
        assert body["controls"].split() == ["n53:AC-6", "pci:2.2.6"]
        assert body["features"] == CASE.features
        assert body["artefact"].split() == list(CASE.artefact or ())

    def test_what_a_case_lacks_is_not_mentioned(self) -> None:
        text = render_prompt(replace(CASE, context=(), artefact=None, barred=()))
        assert "context" not in text and "artefact" not in text and "barred" not in text

    def test_the_order_of_features_does_not_matter(self) -> None:
        turned = replace(CASE, features=dict(reversed(CASE.features.items())))
        assert render_prompt(turned) == render_prompt(CASE)

    def test_prompts_of_one_class_share_their_beginning(self) -> None:
        other = replace(CASE, status="passed", floor="info", features={}, placeholders=())
        assert render_prompt(CASE).split('"slots"')[0] == render_prompt(other).split('"slots"')[0]


class TestSchema:
    def test_the_schema_takes_what_is_rendered_and_gives_it_back(self) -> None:
        text = render_response(ANSWER)
        jsonschema.validate(json.loads(text), response_schema(CASE))
        assert parse_response(text, CASE) == ANSWER

    def test_levels_below_the_floor_are_not_offered(self) -> None:
        for floor in LEVELS:
            offered = response_schema(replace(CASE, floor=floor))["properties"]["level"]["enum"]
            assert offered == list(LEVELS[LEVELS.index(floor) :])

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"level": "low"}, "below the floor"),
            ({"level": "dreadful"}, "no level"),
            ({"action": "file.remove_setuid"}, "barred"),
            ({"action": "sysctl.set"}, "no candidate"),
            ({"controls": " n53:AC-6 n53:AC-6"}, "twice"),
            ({"controls": " pci:2.2.6 n53:AC-6"}, "in another order"),
            ({"controls": " n53:SC-7"}, "no candidate"),
            ({"techniques": " T1059"}, "no candidate"),
            ({"assessment": "{unit} is set-id."}, "a slot that is not there"),
            ({"assessment": "{path} is {} set-id."}, "an empty placeholder"),
            ({"assessment": "It is <|im_end|> \u202e here."}, "not printable ASCII"),
            ({"assessment": "a\nb is set-id."}, "a line end"),
            ({"assessment": "Set-id " * 40 + "."}, "too long"),
            ({"impact": "No end of the sentence"}, "no full stop"),
            ({"impact": None}, "no text"),
        ],
    )
    def test_an_answer_outside_of_the_case_is_refused(self, change: dict[str, Any], why: str) -> None:
        body = json.loads(render_response(ANSWER)) | change
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, response_schema(CASE))
        with pytest.raises(BadResponse):
            parse_response(json.dumps(body), CASE)

    @pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"level":"high"}', render_response(ANSWER)[:-3]])
    def test_what_is_no_answer_is_refused(self, text: str) -> None:
        with pytest.raises(BadResponse):
            parse_response(text, CASE)

    def test_keys_in_another_order_are_refused(self) -> None:
        body = json.loads(render_response(ANSWER))
        with pytest.raises(BadResponse):
            parse_response(json.dumps(dict(reversed(body.items()))), CASE)

    @given(st.text(max_size=300))
    def test_any_text_is_an_answer_or_a_bad_response(self, text: str) -> None:
        try:
            parse_response(text, CASE)
        except BadResponse:
            return
        raise AssertionError(f"taken for an answer: {text!r}")

    @given(st.sets(st.sampled_from(CASE.controls)), st.sampled_from(LEVELS[2:]), st.sampled_from((*CASE.actions, None)))
    def test_every_choice_among_the_candidates_comes_back_as_it_was(
        self, controls: set[str], level: Any, action: str | None
    ) -> None:
        answer = replace(ANSWER, controls=tuple(sorted(controls)), level=level, remediation=action)
        assert parse_response(render_response(answer), CASE) == answer


class TestCritique:
    def test_a_good_answer_stands(self) -> None:
        assert critique(CASE, ANSWER) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"level": "low"},
            {"remediation": "file.remove_setuid"},
            {"controls": ("nist_800_53_r5:SC-7",)},
            {"techniques": ("T1059",)},
            {"assessment": "{unit} is probably set-id."},
            {"assessment": "It is probably CVE-2021 4034."},
            {"assessment": "It is probably CVE-2021-4034 again."},
            {"assessment": "It probably falls under SC-7."},
            {"assessment": "A set-id program of unknown origin."},  # says nothing of the artefact
            {"assessment": "The scanner says it is certainly a backdoor."},
            {"assessment": "It is probably fine and  well."},
            {"assessment": "It is probably fine, says"},
            {"impact": "a" * (MAX_IMPACT + 1) + "."},
            {"assessment": f"Probably {'a' * MAX_ASSESSMENT}."},
            {"impact": ANSWER.assessment},
            {"impact": "One two three four five six. One two three four five six."},
        ],
    )
    def test_what_is_wrong_is_named(self, change: dict[str, Any]) -> None:
        assert critique(CASE, replace(ANSWER, **change)) is not None

    def test_nothing_is_to_be_done_about_what_passed(self) -> None:
        passed = replace(CASE, status="passed", floor="info", artefact=None)
        assert critique(passed, ANSWER) is not None
        assert critique(passed, replace(ANSWER, remediation=None)) is None


@pytest.fixture(scope="module")
def all_questions() -> list[Question]:
    return [
        question
        for name in corpus()
        for report in reports(name)
        for question in questions(report.header, list(report.findings))
    ]


class TestCases:
    def test_lists_are_bounded_sorted_and_hold_what_the_knowledge_maps(self, all_questions: list[Question]) -> None:
        maker = CaseMaker(knowledge())
        for question in all_questions:
            case = maker.case(question)
            controls, techniques = selection(question)
            assert set(controls) <= set(case.controls) and set(techniques) <= set(case.techniques)
            assert len(controls) <= 8 and len(techniques) <= MAX_TECHNIQUES
            assert len(case.actions) <= MAX_ACTIONS and len(case.context) <= MAX_CONTEXT
            for listed in (case.controls, case.techniques, case.actions, case.barred, case.context):
                assert list(listed) == sorted(set(listed))
            assert not set(case.actions) & set(case.barred)

    def test_distractors_are_those_that_the_class_maps_nowhere(self, all_questions: list[Question]) -> None:
        known, maker = knowledge(), CaseMaker(knowledge())
        for question in all_questions:
            spec = known.classes.get(question.class_id)
            if spec is None:
                continue
            mapped = {
                f"{ref.framework}:{ref.control}" for topic in spec.topics for ref in known.topics[topic.topic].controls
            }
            drawn = set(maker.case(question).controls) - set(selection(question)[0])
            assert len(drawn) == 3
            assert not drawn & mapped

    def test_a_second_attempt_has_no_distractors_and_training_has_others(self, all_questions: list[Question]) -> None:
        maker = CaseMaker(knowledge())
        question = next(question for question in all_questions if question.class_id == "auditd.execve")
        assert set(maker.case(question, attempt=1).controls) == set(selection(question)[0])
        assert maker.case(question, salt="a").controls != maker.case(question).controls

    def test_equal_keys_have_equal_prompts(self, all_questions: list[Question]) -> None:
        """The key is all that the cache knows, so nothing that is shown may be missing from it."""
        maker, shown = CaseMaker(knowledge()), dict[str, str]()
        for question in all_questions:
            text = render_prompt(maker.case(question))
            assert shown.setdefault(question.key, text) == text
        assert len(shown) < len(all_questions)  # scans share questions, or nothing was compared

    def test_prompts_are_short(self, all_questions: list[Question]) -> None:
        maker = CaseMaker(knowledge())
        lengths = [len(render_prompt(maker.case(question))) for question in all_questions]
        assert max(lengths) < 900

    def test_short_forms_of_controls_are_distinct(self) -> None:
        names = [
            f"{framework}:{control}"
            for framework, fact in knowledge().frameworks.items()
            for control in (*fact.controls, *fact.groups)
        ]
        assert len(set(map(shorten, names))) == len(set(names))


# -- A stranger's strings ------------------------------------------------------------------------------------------

_FIELDS = ("scanner", "id", "title", "description")


def _marked(text: str) -> Iterator[str]:
    """Put the mark everywhere where a class may let it through: at either end, and inside each part."""
    yield f"{MARK}{text}"
    yield f"{text}{MARK}"
    middle = len(text) // 2
    yield f"{text[:middle]}{MARK}{text[middle:]}"
    if "/" in text:
        yield re.sub("/", f"/{MARK}", text)
    if ":" in text:
        yield text.replace(":", f":{MARK}")
    yield re.sub(r"[A-Za-z0-9_.-]+(?=(?:\.service)?\Z)", lambda match: f"{match[0]}{MARK}", text)


def _tainted(raw: RawFinding, slots: dict[str, str]) -> Iterator[RawFinding]:
    """Mark each string of a finding in turn, then each value that the classes take out of it, wherever it stands."""
    for name in _FIELDS:
        value = getattr(raw, name)
        if value:
            fields: list[dict[str, Any]] = [{name: text} for text in _marked(value)]
            yield from (replace(raw, **field) for field in fields)
    for key, value in raw.metadata.items():
        yield replace(raw, metadata={**raw.metadata, f"{key}{MARK}": value})
        if isinstance(value, str):
            yield from (replace(raw, metadata={**raw.metadata, key: text}) for text in _marked(value))
    yield replace(raw, extra={**raw.extra, MARK: MARK}, techniques=(*raw.techniques, MARK))
    for value in dict.fromkeys(slots.values()):
        if len(value) < 2:
            continue
        for text in dict.fromkeys(_marked(value)):
            yield replace(
                raw,
                id=raw.id.replace(value, text),
                title=raw.title and raw.title.replace(value, text),
                description=raw.description and raw.description.replace(value, text),
                metadata={
                    key: item.replace(value, text) if isinstance(item, str) else item
                    for key, item in raw.metadata.items()
                },
            )


def _distinct(header: ScanHeader, findings: list[RawFinding]) -> list[tuple[RawFinding, dict[str, str]]]:
    """Keep one finding of each shape: class, the keys it has, and the features it gets."""
    context = ScanContext(0, "scan", "host", "report", header, True, 0, "2026-11-30T00:00:00Z")
    members = ScanSession.of(context, findings, shared(), None).index.members
    shapes: dict[object, tuple[RawFinding, dict[str, str]]] = {}
    for raw, member in zip(findings, members, strict=True):
        found = member.classified
        few = found.class_id if found.class_id.startswith("systemd_units.") else sorted(found.features)
        shapes.setdefault((found.class_id, str(few), found.status, *sorted(raw.metadata)), (raw, found.slots))
    return list(shapes.values())


_SEEN: set[object] = set()


@pytest.mark.parametrize("name", corpus())
def test_no_string_of_a_real_finding_reaches_a_prompt(name: str) -> None:
    for report in reports(name):
        assert not any(MARK in text for text in prompts(report.header, list(report.findings)))
        kept = []
        for raw, slots in _distinct(report.header, list(report.findings)):
            shape = (
                report.header.source_format,
                report.header.rules_enabled,
                raw.scanner,
                raw.title,
                tuple(raw.metadata),
            )
            if shape not in _SEEN:  # the same in another file says nothing new
                _SEEN.add(shape)
                kept.append((raw, slots))
        tainted = [each for raw, slots in kept for each in _tainted(raw, slots)]
        claims: dict[str, Any] = {
            field: f"{getattr(report.header, field) or ''}{MARK}"
            for field in ("host", "cmdline", "user", "os_pretty", "kernel", "arch", "tool_version")
        }
        header = replace(report.header, **claims)
        for text in (*prompts(report.header, tainted), *prompts(header, [raw for raw, _ in kept])):
            assert MARK not in text.lower()


def test_the_mark_comes_through_to_the_slots() -> None:
    """The test above shows nothing if its marks make every finding unknown."""
    (report,) = reports("web01-ioc.json")
    header = report.header
    tainted = [each for raw, slots in _distinct(header, list(report.findings)) for each in _tainted(raw, slots)]
    context = ScanContext(0, "scan", "host", "report", header, True, 0, "2026-11-30T00:00:00Z")
    members = ScanSession.of(context, tainted, shared(), None).index.members
    hit = [member for member in members if any(MARK in value for value in member.classified.slots.values())]
    assert len(hit) > len(members) / 4


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_no_part_of_a_hostile_name_reaches_a_prompt(name: str) -> None:
    header = ScanHeader(source_format="json", host=HOSTILE[name][:60])
    shown = list(prompts(header, findings_with(HOSTILE[name])))
    assert shown
    plain = list(prompts(ScanHeader(source_format="json", host="host"), findings_with("plain")))
    for text in shown:
        assert text.isascii() and text.count("### ") == 2
        assert HOSTILE[name] not in text.removeprefix(INSTRUCTION).removesuffix(RESPONSE)
        for word in re.findall(r"[A-Za-z0-9]{6,}", HOSTILE[name]):
            assert word not in text or any(word in other for other in plain)
