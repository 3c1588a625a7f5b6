"""What a finding is recognised by when its words, or its id, are not those that are known."""

import random
from dataclasses import replace

import pytest

from pipeline.classes.classify import Classifier
from pipeline.finding import Classified, RawFinding, ScanHeader
from tests.perturbed import IDS, TEXTS, Labelled, id_figures, in_texts, labelled, measure
from tests.pipeline.classes.rewordings import REWORDINGS, Rewording
from tests.pipeline.sessions import shared

JSON = ScanHeader("json", host="h", cmdline="sys-scan")
KEPT_AT_LEAST = 0.99
# These are measured on all findings; the rest on a share here, and on all by `python -m tests.perturbed`.
ALL = {"a full stop more", "upper case", "synonyms", "other numbers", "German"}
SHARE = 7


def classify(raw: RawFinding, header: ScanHeader = JSON) -> Classified:
    return Classifier(shared().classes, header, "h").classify(raw)


@pytest.mark.parametrize("name", TEXTS)
def test_other_words_leave_the_class_and_never_give_a_wrong_one(name: str) -> None:
    among = [each for each in labelled() if each.raw.title is not None]
    if name not in ALL:
        among = among[::SHARE]
    tally = measure(lambda each, rng: in_texts(TEXTS[name], "both", each, rng), among)
    assert tally.changed > 200
    assert dict(tally.wrong) == {}
    assert dict(tally.status) == {}, "other words must not turn a status round"
    if name in ALL:
        assert tally.kept >= KEPT_AT_LEAST * tally.changed, tally


def test_a_changed_id_leaves_the_class_open_or_unknown_but_never_wrong() -> None:
    tried = set()
    for name, tally in id_figures(SHARE):
        tried.add(name)
        assert tally.changed > 200, name
        assert dict(tally.wrong) == {}, name
    assert set(IDS) < tried


def test_a_wrong_class_would_be_counted() -> None:
    first = labelled()[0]
    other = next(each for each in labelled() if each.known.class_id != first.known.class_id)
    mislabelled = Labelled(first.raw, first.header, replace(other.known), 3)
    tally = measure(lambda each, rng: replace(each.raw, extra={"changed": True}), [mislabelled])
    assert dict(tally.wrong) == {(other.known.class_id, first.known.class_id): 3}


@pytest.mark.parametrize("one", REWORDINGS, ids=lambda one: one.class_id)
def test_rewordings_by_hand_keep_their_class_and_what_is_said_of_the_host(one: Rewording) -> None:
    each = next(
        each
        for each in labelled()
        if each.known.class_id == one.class_id and each.header.source_format == "json" and not each.header.rules_enabled
    )
    known = classify(each.raw, each.header)
    found = classify(replace(each.raw, title=one.title, description=one.description), each.header)
    assert (known.class_id, known.class_basis) == (one.class_id, "exact")
    assert (found.class_id, found.status) == (known.class_id, known.status)
    assert found.class_basis in ("id", "shape", "words")
    assert (found.title, found.description) == (one.title, one.description), "it still says what it said"
    assert found.fingerprint == known.fingerprint


def test_there_are_thirty_rewordings_of_as_many_classes() -> None:
    assert len({one.class_id for one in REWORDINGS}) == len(REWORDINGS) == 30


NEW_KINDS = [
    RawFinding("kernel_hardening", "kernel:sysctl:yama", "low", "ptrace scope", "ptrace not restricted"),
    RawFinding("mounts", "mount:proc-hidepid:/proc", "low", "hidepid missing", "Processes are visible to everybody"),
    RawFinding("auditd", "auditd:mount", "medium", "Audit mount present", "mount syscall auditing missing"),
    RawFinding("mac", "landlock", "info", "Landlock status", "Landlock detection"),
    RawFinding("pci_compliance", "pci_dss_4_0:8.3.6", "high", "pci_dss_4_0 control 8.3.6", "Length of passwords"),
    RawFinding(
        "modules", "evil", "high", "Module anomaly: evil", "Module is on the deny list", metadata={"denied": "true"}
    ),
    RawFinding("world_writable", "/etc/x", "high", "ACL too wide", "Named users may write", metadata={"rule": "acl"}),
    RawFinding("ioc", "/usr/bin/x: 12", "critical", "Process IOC Detected", "Process with ptrace attached: x"),
    RawFinding("new_scanner", "anything", "high", "A title", "A description"),
    RawFinding(None, "/usr/bin/thing", "low", "A title of something new", "Nobody knows this"),
    RawFinding(None, "4711", "info", "A title of something new", "Nobody knows this"),
    RawFinding(None, "something_new", "info", "A title of something new", "Nobody knows this"),
]


@pytest.mark.parametrize("raw", NEW_KINDS, ids=lambda raw: raw.id)
def test_a_new_kind_of_finding_gets_no_class_of_an_old_one(raw: RawFinding) -> None:
    found = classify(raw, JSON if raw.scanner is not None else ScanHeader("sarif"))
    assert found.class_id == "ambiguous" or found.class_id.startswith("unknown."), found


def test_the_words_of_one_class_under_the_id_of_another_are_believed_by_nobody() -> None:
    raw = RawFinding(
        "kernel_hardening", "kernel:sysctl:sysrq", "low", "kptr_restrict", "Kernel pointers not restricted"
    )
    found = classify(raw)
    assert found.class_id == "ambiguous"
    assert found.candidates == ("kernel_hardening.sysctl_kptr_restrict", "kernel_hardening.sysctl_sysrq")


def test_words_that_the_class_does_not_know_are_no_evidence_of_a_status() -> None:
    header = replace(JSON, rules_enabled=True)  # nor is the severity, then
    raw = RawFinding("auditd", "auditd:execve", "medium", "Execve", "Everything about execve is well and audited")
    found = classify(raw, header)
    assert (found.class_id, found.class_basis, found.status) == ("auditd.execve", "id", "unknown")


def test_a_full_stop_more_takes_nothing_out_of_the_status() -> None:
    raw = RawFinding("auditd", "auditd:execve", "medium", "Audit execve present.", "Audit execve present missing.")
    found = classify(raw, replace(JSON, rules_enabled=True))
    assert (found.class_id, found.status, found.status_basis) == ("auditd.execve", "open", "description")
    assert found.description == "Audit execve present missing."


def test_chance_has_a_fixed_seed() -> None:
    among = labelled()[:50]
    first = [IDS["id of random digits"](each.raw.id, rng) for rng in [random.Random(1)] for each in among]
    again = [IDS["id of random digits"](each.raw.id, rng) for rng in [random.Random(1)] for each in among]
    assert first == again
