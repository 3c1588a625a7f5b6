"""The facts about controls, techniques, expected values and actions hold together."""

import re
from pathlib import Path

import pytest

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import ControlRef, Framework, Knowledge
from pipeline.rules.compliance import FRAMEWORKS
from tests.pipeline.remedies.scenarios import SAVES

ROOT = Path(__file__).parents[3]
RANK = {"sourced": 0, "derived": 1, "inferred": 2}
# What a derived claim may rest on: one step over a crosswalk that somebody published.
STEP = re.compile(
    r"NIST concept crosswalk from|one of the NIST successors of|CTID mapping from|NIST SP 800-66r2 mapping"
)
PROFILES = {"default", "strict", "cis", "stig"}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


def every_ref(knowledge: Knowledge) -> list[tuple[str, ControlRef]]:
    return [(key, ref) for key, topic in knowledge.topics.items() for ref in topic.controls]


def test_every_control_exists_in_its_framework_under_the_title_that_is_shown(knowledge: Knowledge) -> None:
    for key, ref in every_ref(knowledge):
        assert knowledge.frameworks[ref.framework].controls.get(ref.control) == ref.title, key


def test_every_control_that_is_kept_is_used(knowledge: Knowledge) -> None:
    used = {(ref.framework, ref.control) for _, ref in every_ref(knowledge)}
    kept = {(name, control) for name, fact in knowledge.frameworks.items() for control in fact.controls}
    assert kept == used


def test_frameworks_say_their_licence_and_more_controls_than_we_name(knowledge: Knowledge) -> None:
    assert set(knowledge.frameworks) == set(FRAMEWORKS)
    for fact in knowledge.frameworks.values():
        assert fact.licence and fact.groups
        assert len(set(fact.controls) - set(fact.groups)) < fact.total


def test_controls_stand_core_first_then_by_basis_with_cautions_last_and_none_twice(knowledge: Knowledge) -> None:
    for key, topic in knowledge.topics.items():
        for framework in FRAMEWORKS:
            refs = [ref for ref in topic.controls if ref.framework == framework]
            order = [(ref.caution is not None, not ref.core, RANK[ref.basis]) for ref in refs]
            assert order == sorted(order), key
            assert len({ref.control for ref in refs}) == len(refs), key


def test_a_source_is_named_exactly_where_there_is_one(knowledge: Knowledge) -> None:
    for key, ref in every_ref(knowledge):
        assert ref.source, key
        assert ref.source.startswith("judgement") == (ref.basis == "inferred"), (key, ref.control)
        assert not ref.core or ref.basis == "sourced", key
        if ref.basis == "derived":
            assert STEP.match(ref.source), (key, ref.source)


def test_nothing_is_sourced_for_systemd_directives(knowledge: Knowledge) -> None:
    directives = [topic for key, topic in knowledge.topics.items() if key.startswith("systemd.")]
    assert len(directives) == 13
    assert {ref.basis for topic in directives for ref in topic.controls} == {"inferred"}


def test_pci_titles_are_our_paraphrases(knowledge: Knowledge) -> None:
    assert "paraphrases" in knowledge.frameworks["pci_dss_4_0"].licence
    assert max(len(title) for title in knowledge.frameworks["pci_dss_4_0"].controls.values()) < 90


def test_technique_names_agree_with_the_list_of_techniques(knowledge: Knowledge) -> None:
    for key, topic in knowledge.topics.items():
        for each in topic.techniques:
            assert knowledge.techniques[each.technique] == each.name, key
            assert each.source.startswith("judgement") == (each.basis == "inferred"), key


def test_expected_values_have_a_default_and_prefer_what_they_accept(knowledge: Knowledge) -> None:
    for key, entry in knowledge.expected.items():
        assert set(entry.accepted) | set(entry.preferred) <= PROFILES, key
        for profile in PROFILES:
            accepted = entry.accepted.get(profile, entry.accepted["default"])
            assert entry.preferred.get(profile, entry.preferred["default"]) in accepted, (key, profile)
        assert entry.sources, key


@pytest.mark.parametrize(
    ("key", "profile", "value", "good"),
    [
        ("sysctl.kernel.kptr_restrict", "default", "1", True),
        ("sysctl.kernel.kptr_restrict", "default", "2", True),
        ("sysctl.kernel.kptr_restrict", "strict", "1", False),
        ("sysctl.net.ipv4.conf.all.rp_filter", "default", "2", True),
        ("sysctl.net.ipv4.conf.all.rp_filter", "cis", "2", False),
        ("sysctl.kernel.sysrq", "default", "176", True),
        ("sysctl.kernel.sysrq", "cis", "176", False),
        ("sysctl.kernel.sysrq", "default", "438", False),
        ("systemd.ProtectHome", "default", "yes", True),
        ("systemd.NoNewPrivileges", "default", "true", True),
        ("mount.tmp.noexec", "default", "absent", True),
        ("mount.tmp.noexec", "cis", "absent", False),
        ("kernel.lockdown", "default", "none", False),
    ],
)
def test_where_frameworks_disagree_the_profile_decides(
    knowledge: Knowledge, key: str, profile: str, value: str, good: bool
) -> None:
    accepted = knowledge.expected[key].accepted
    assert (value in accepted.get(profile, accepted["default"])) is good


def test_a_setting_topic_names_its_expected_value(knowledge: Knowledge) -> None:
    settings = {key for key in knowledge.topics if key.startswith(("sysctl.", "systemd."))}
    assert {key for key in settings if knowledge.topics[key].expected != key} == set()


def test_an_action_with_a_command_says_how_to_go_back(knowledge: Knowledge) -> None:
    for key, action in knowledge.remediations.items():
        if action.command is not None:
            assert action.kind != "manual" or key in SAVES, key
            assert action.rollback, key
        else:
            assert action.kind in ("manual", "accept"), key


def test_no_action_for_setuid_files_skips_the_evidence(knowledge: Knowledge) -> None:
    action = knowledge.remediations["file.remove_setuid"]
    assert "sha256sum" in str(action.note) and "chmod" in str(action.command)  # the note is made first
    assert "no distribution package owns" in str(action.caution)


def coverage_rows(knowledge: Knowledge) -> dict[Framework, tuple[int, ...]]:
    rows: dict[Framework, tuple[int, ...]] = {}
    topics = knowledge.topics.values()
    for name, fact in knowledge.frameworks.items():
        refs = [[ref for ref in topic.controls if ref.framework == name and not ref.caution] for topic in topics]
        single = {ref.control for own in refs for ref in own} - set(fact.groups)
        sourced = {ref.control for own in refs for ref in own if ref.basis == "sourced"} - set(fact.groups)
        rows[name] = (
            sum(any(ref.core for ref in own) for own in refs),
            sum(any(ref.basis == "sourced" for ref in own) for own in refs),
            sum(bool(own) for own in refs),
            len(sourced),
            len(single),
            fact.total,
        )
    return rows


def test_the_document_states_the_coverage_that_the_data_has(knowledge: Knowledge) -> None:
    text = (ROOT / "docs" / "knowledge-sources.md").read_text(encoding="utf-8")
    stated = {
        cells[0]: tuple(int(cell) for cell in cells[1:])
        for line in text.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7 and cells[1].isdigit()
    }
    assert stated == {fact.title: coverage_rows(knowledge)[name] for name, fact in knowledge.frameworks.items()}
    assert f"{len(knowledge.topics)} topics" in text
