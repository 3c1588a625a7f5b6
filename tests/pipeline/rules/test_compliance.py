"""Controls, techniques and the gap analysis: the words of evidence, and whose claim it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import record_fields
from pipeline.features import load_features
from pipeline.finding import Status
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import (
    ControlRef,
    Framework,
    FrameworkFact,
    Knowledge,
    TechniqueRef,
    Topic,
    TopicRef,
    TopicTechnique,
)
from pipeline.rules.compliance import (
    BASES,
    FRAMEWORKS,
    Coverage,
    FailingControl,
    FailingControls,
    FrameworkGap,
    GapAnalysis,
    Reach,
    SupportedControl,
    SupportedControls,
    Technique,
    controls_for,
    coverage,
    techniques_for,
)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


def a_ref(control: str, basis: str = "sourced", framework: str = "nist_800_53_r5", **more: Any) -> ControlRef:
    fields = {"framework": framework, "control": control, "title": f"Title of {control}", "basis": basis, "source": "s"}
    return ControlRef.model_validate(fields | more)


def a_topic(*refs: ControlRef) -> Topic:
    return Topic(title="t", controls=list(refs))


@pytest.mark.parametrize(
    ("status", "evidence"),
    [("open", "failing"), ("passed", "supporting")]
    + [(status, "none") for status in ("info", "unknown", "error", "accepted", "false_positive")],
)
def test_evidence_follows_the_status(status: Status, evidence: str) -> None:
    (record,) = controls_for([a_topic(a_ref("CM-6"))], status)
    assert (record.framework, record.control, record.title) == ("nist_800_53_r5", "CM-6", "Title of CM-6")
    assert (record.evidence, record.basis, record.source) == (evidence, "sourced", "s")
    assert (record.core, record.caution) == (False, None)


def test_a_control_of_several_topics_is_listed_once_with_the_strongest_claim() -> None:
    weak = a_topic(a_ref("CM-6", "inferred", source="judgement"), a_ref("AC-6", "derived"))
    doubtful = a_topic(a_ref("CM-6", caution="looks misplaced"), a_ref("CM-7", "sourced"))
    strong = a_topic(a_ref("CM-6", source="two sources", core=True))
    for topics in ([weak, doubtful, strong], [strong, doubtful, weak], [doubtful, strong, weak]):
        found = {record.control: record for record in controls_for(topics, "open")}
        assert sorted(found) == ["AC-6", "CM-6", "CM-7"]
        assert (found["CM-6"].source, found["CM-6"].core) == ("two sources", True)
        assert found["CM-6"].caution is None


def test_a_claim_with_a_caution_yields_to_any_without() -> None:
    topics = [a_topic(a_ref("CM-6", caution="looks misplaced")), a_topic(a_ref("CM-6", "inferred"))]
    assert [record.basis for record in controls_for(topics, "open")] == ["inferred"]


def test_controls_stand_by_framework_then_core_then_basis_and_cautions_last() -> None:
    topic = a_topic(
        a_ref("h", framework="hipaa"),
        a_ref("caution", caution="why"),
        a_ref("inferred", "inferred"),
        a_ref("derived", "derived"),
        a_ref("p", framework="pci_dss_4_0"),
        a_ref("sourced"),
        a_ref("c", framework="nist_csf_2_0"),
        a_ref("core", core=True),
    )
    order = [record.control for record in controls_for([topic], "open")]
    assert order == ["core", "sourced", "derived", "inferred", "caution", "c", "p", "h"]


REFS = st.builds(
    a_ref,
    st.sampled_from(["A", "B", "C", "D"]),
    st.sampled_from(BASES),
    st.sampled_from(FRAMEWORKS),
    core=st.booleans(),
    caution=st.none() | st.just("why"),
    source=st.sampled_from(["x", "y"]),
)


@given(st.lists(st.builds(lambda refs: a_topic(*refs), st.lists(REFS, max_size=6)), max_size=4))
def test_no_control_is_lost_or_listed_twice(topics: list[Topic]) -> None:
    named = {(ref.framework, ref.control) for topic in topics for ref in topic.controls}
    listed = [(record.framework, record.control) for record in controls_for(topics, "open")]
    assert len(listed) == len(set(listed))
    assert set(listed) == named


def test_techniques_keep_the_strongest_basis_and_take_names_for_extra_ones() -> None:
    topic = Topic(
        title="t",
        techniques=[
            TopicTechnique(technique="T1068", name="Exploit", basis="inferred", source="j"),
            TopicTechnique(technique="T1014", name="Rootkit", basis="sourced", source="s"),
        ],
    )
    extra = [
        TechniqueRef(technique="T1068", basis="sourced", source="s"),
        TechniqueRef(technique="T1055", basis="inferred"),
    ]
    names = {"T1068": "Exploit", "T1055": "Process Injection"}
    assert techniques_for([topic], extra, names) == (
        Technique("T1068", "Exploit", "sourced"),
        Technique("T1014", "Rootkit", "sourced"),
        Technique("T1055", "Process Injection", "inferred"),
    )


FRAMEWORK_FACTS: dict[Framework, FrameworkFact] = {
    "nist_800_53_r5": FrameworkFact(
        title="NIST", version="5", licence="public", total=10, groups={"AC": "Access Control"},
        controls={name: f"Title of {name}" for name in ("A", "B", "C", "D")},
    )
}  # fmt: skip
COVERED: dict[Framework, Reach] = {
    "nist_800_53_r5": Reach(Coverage(total=10, named=3, sourced=2, core=1), frozenset("ABC"))
}


def gap(analysis: GapAnalysis) -> FrameworkGap:
    (record,) = analysis.report(FRAMEWORK_FACTS, COVERED)
    return record


def test_a_scan_without_findings_has_no_evidence_for_anything() -> None:
    record = gap(GapAnalysis())
    assert record.no_evidence == ("A", "B", "C")  # D is beyond what any class can say
    assert record.failing == FailingControls((), (), ())
    assert record.supporting_only == SupportedControls((), (), ())
    assert record.coverage == Coverage(10, 3, 2, 1)


def test_controls_stand_under_the_strongest_basis_of_their_evidence() -> None:
    analysis = GapAnalysis()
    sourced = controls_for([a_topic(a_ref("A"), a_ref("B", "inferred"))], "open")
    inferred = controls_for([a_topic(a_ref("A", "inferred"))], "open")
    supporting = controls_for([a_topic(a_ref("A"), a_ref("C", "derived"))], "passed")
    nothing = controls_for([a_topic(a_ref("D"))], "info")
    for number, controls in enumerate([sourced, inferred, inferred, supporting, nothing]):
        analysis.add(repr(controls), controls, f"key{number}", f"print{number}")
    record = gap(analysis)
    assert record.failing == FailingControls(
        sourced=(FailingControl("A", "Title of A", findings=1, weaker=2, sample=("key0",), supporting=1),),
        derived=(),
        inferred=(FailingControl("B", "Title of B", findings=1, weaker=0, sample=("key0",), supporting=0),),
    )
    assert record.supporting_only.derived == (SupportedControl("C", "Title of C", 1, 0, ("key3",)),)
    assert record.no_evidence == ()


def test_a_twin_counts_once_and_the_sample_has_the_first_ten_in_order() -> None:
    analysis = GapAnalysis()
    one = controls_for([a_topic(a_ref("A"))], "open")
    other = controls_for([a_topic(a_ref("A"), a_ref("B"))], "open")
    for number in range(30):
        controls = (one, other)[number % 2]
        analysis.add(repr(controls), controls, f"key{number}", f"print{number}")
        analysis.add(repr(controls), controls, f"twin{number}", f"print{number}")
    (entry, _) = gap(analysis).failing.sourced
    assert (entry.control, entry.findings) == ("A", 30)
    assert entry.sample == tuple(f"key{number}" for number in range(10))


def test_a_claim_with_a_caution_is_no_evidence() -> None:
    analysis = GapAnalysis()
    analysis.add("one", controls_for([a_topic(a_ref("A", caution="looks misplaced"))], "open"), "key", "print")
    assert gap(analysis).no_evidence == ("A", "B", "C")


def test_the_gap_analysis_never_says_that_a_control_is_met(knowledge: Knowledge) -> None:
    analysis = GapAnalysis()
    for number, topic in enumerate(knowledge.topics.values()):
        controls = controls_for([topic], ("open", "passed")[number % 2])
        analysis.add(repr(controls), controls, f"key{number}", f"print{number}")
    record = analysis.report(knowledge.frameworks, coverage(knowledge))
    assert tuple(each.framework for each in record) == FRAMEWORKS
    words = {field.key for kind in (FrameworkGap, Coverage, FailingControl) for field in record_fields(kind)}
    assert not words & {"passing", "passed", "pass", "compliant", "met"}
    assert record == analysis.report(knowledge.frameworks, coverage(knowledge))


def test_coverage_counts_only_what_the_classes_can_say(knowledge: Knowledge) -> None:
    topic = a_topic(a_ref("CM-6", core=True), a_ref("CM-7", "inferred"), a_ref("AC-6", caution="why"), a_ref("AC"))
    fact = FrameworkFact(
        title="N", version="5", licence="l", total=9, groups={"AC": "g"}, controls={"CM-6": "a", "CM-7": "b", "AC": "c"}
    )
    spec = next(iter(knowledge.classes.values())).model_copy(update={"topics": []})
    used = spec.model_copy(update={"topics": [TopicRef(topic="t")]})
    small = Knowledge.model_construct(
        classes={"a": used}, topics={"t": topic, "unused": a_topic(a_ref("SC-1"))}, frameworks={"nist_800_53_r5": fact}
    )
    assert coverage(small) == {
        "nist_800_53_r5": Reach(Coverage(total=9, named=2, sourced=1, core=1), frozenset({"CM-6", "CM-7", "AC"}))
    }
    empty = Knowledge.model_construct(classes={"a": spec}, topics={}, frameworks={"nist_800_53_r5": fact})
    assert coverage(empty)["nist_800_53_r5"].coverage.named == 0
