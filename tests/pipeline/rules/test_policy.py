"""The operator's word: what is accepted until when, which severities and profile, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.finding import RawFinding
from pipeline.rules.policy import Allow, Policy, Selector, load_policy, profiles
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import documents, knowledge, lines_of, made_up, record_of, report, resources, session_of

SCAN = "web01-ioc.json"
ALLOW = "allow:\n  - class: kernel_params.kptr_restrict\n    owner: ops\n    reason: debugging host\n    expires: {}\n"


def policy(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    return load_policy([file], knowledge())


def lines(with_policy: Policy, name: str = SCAN, **changes: Any) -> list[dict[str, Any]]:
    return documents(lines_of(session_of(report(name), resources(with_policy), {}, **changes)))


def accepted(with_policy: Policy, **changes: Any) -> list[dict[str, Any]]:
    return [line for line in lines(with_policy, **changes) if line["suppression"] is not None]


def test_what_is_accepted_stays_in_the_output_with_its_reason(tmp_path: Path) -> None:
    before = lines(Policy())
    session = session_of(report(SCAN), resources(policy(tmp_path, ALLOW.format("2030-01-01"))), {})
    after = documents(lines_of(session))
    assert [line["dedupe_key"] for line in after] == [line["dedupe_key"] for line in before]
    (line,) = [line for line in after if line["suppression"] is not None]
    assert line["class"] == "kernel_params.kptr_restrict"
    assert (line["status"], line["risk"]["level"], line["remediation"]) == ("accepted", "info", [])
    assert line["suppression"] == {"owner": "ops", "reason": "debugging host", "expires": "2030-01-01"}
    contract("enriched-1").check(line)
    record = record_of(session)
    contract("scan-1").check(record)
    assert record["counts"]["status"]["accepted"] == 1
    assert "kernel_params.kptr_restrict" not in {issue["class"] for issue in record["issues"]}
    assert line["baseline"]["state"] == "new"


@pytest.mark.parametrize(
    ("as_of", "holds"),
    [("2026-11-02T23:59:59Z", True), ("2026-11-03T00:00:00Z", False), ("2025-01-01T00:00:00Z", True)],
)
def test_an_entry_holds_until_the_end_of_its_day_by_the_time_of_the_scan(
    as_of: str, holds: bool, tmp_path: Path
) -> None:
    with_policy = policy(tmp_path, ALLOW.format("2026-11-02"))
    assert bool(accepted(with_policy, as_of=as_of)) == holds
    record = record_of(session_of(report(SCAN), resources(with_policy), {}, as_of=as_of))
    assert record["policy"]["expired"] == (
        []
        if holds
        else [
            {
                "owner": "ops", "reason": "debugging host", "expires": "2026-11-02",
                "class": "kernel_params.kptr_restrict", "fingerprint": None,
            }
        ]
    )  # fmt: skip


ENTRY = "owner: ops, reason: known, expires: 2030-01-01"


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("class: ioc.deleted_executable", {"/usr/local/bin/updater (deleted)"}),
        ("class: 'ioc.*', slots: {exe: '/usr/local/*'}", {"/usr/local/bin/updater (deleted)"}),
        ("class: 'ioc.*', slots: {exe: '/usr/local/bin/update? (deleted)'}", {"/usr/local/bin/updater (deleted)"}),
        ("class: 'ioc.*', slots: {exe: '/usr/local/bin/update[r] (deleted)'}", set()),
        ("class: 'ioc.*', slots: {exe: '/usr/local'}", set()),
        ("class: ioc.deleted_executable, host: 'web0?'", {"/usr/local/bin/updater (deleted)"}),
        ("class: ioc.deleted_executable, host: 'db*'", set()),
    ],
)
def test_patterns_select_by_class_host_and_slots(selector: str, selected: set[str], tmp_path: Path) -> None:
    found = accepted(policy(tmp_path, f"allow: [{{{selector}, {ENTRY}}}]"))
    assert {line["slots"].get("exe") for line in found} == selected


def test_the_beginning_of_a_fingerprint_selects_one_finding(tmp_path: Path) -> None:
    target = next(line for line in lines(Policy()) if line["class"] == "ioc.deleted_executable")
    entry = f"allow: [{{fingerprint: '{target['fingerprint'][:12]}', status: false_positive, {ENTRY}}}]"
    (found,) = accepted(policy(tmp_path, entry))
    assert (found["dedupe_key"], found["status"]) == (target["dedupe_key"], "false_positive")
    assert found["risk"]["score"] == 0


@pytest.mark.parametrize(("status", "evidence"), [("accepted", "failing"), ("false_positive", "none")])
def test_what_is_accepted_is_still_evidence_and_what_is_no_finding_is_none(
    status: str, evidence: str, tmp_path: Path
) -> None:
    entry = f"allow: [{{class: kernel_params.kptr_restrict, status: {status}, {ENTRY}}}]"
    (found,) = accepted(policy(tmp_path, entry))
    assert {control["evidence"] for control in found["compliance"]} == {evidence}


def test_brackets_in_a_path_stand_for_themselves() -> None:
    member = session_of(report("micro-default.json"), resources()).index.members[0]
    finding = replace(member.classified, slots={"path": "/tmp/[x]/y"})
    chosen = [
        Selector.model_validate({"class": "*", "slots": {"path": pattern}}).selects("h", finding)
        for pattern in ("/tmp/[x]/y", "/tmp/[x]*", "/tmp/x/y", "/tmp/[!a]*")
    ]
    assert chosen == [True, True, False, False]


def test_a_severity_is_overridden_with_the_reason_in_the_factors(tmp_path: Path) -> None:
    text = "overrides: [{class: kernel_params.kptr_restrict, severity: high, reason: exposed host}]"
    (line,) = [line for line in lines(policy(tmp_path, text)) if line["class"] == "kernel_params.kptr_restrict"]
    assert (line["severity"], line["finding"]["severity"], line["risk"]["level"]) == ("high", "low", "high")
    assert line["risk"]["factors"][0]["why"] == "set by the operator's policy: exposed host"


def test_the_profile_decides_which_values_are_good(tmp_path: Path) -> None:
    def kptr(with_policy: Policy) -> dict[str, Any]:
        (line,) = [
            line for line in lines(with_policy, "web01-sysctl-strong.json")
            if line["class"] == "kernel_params.kptr_restrict"
        ]  # fmt: skip
        return line

    current = kptr(Policy())["slots"]["current"]
    default = {name: kptr(policy(tmp_path, f"profile: {name}"))["status"] for name in profiles(knowledge())}
    assert current in ("1", "2")
    assert default["default"] == "passed"
    weak = documents(lines_of(session_of(_with_kptr("1"), resources(policy(tmp_path, "profile: default")), {})))
    strict = documents(lines_of(session_of(_with_kptr("1"), resources(policy(tmp_path, "profile: strict")), {})))
    statuses = [
        [line["status"] for line in found if line["class"] == "kernel_params.kptr_restrict"] for found in (weak, strict)
    ]
    assert statuses == [["passed"], ["open"]]


def _with_kptr(value: str) -> Any:
    parsed = report("web01-sysctl-strong.json")
    findings = tuple(
        replace(finding, metadata={**finding.metadata, "current": value})
        if finding.id == "/proc/sys/kernel/kptr_restrict" and finding.scanner == "kernel_params" else finding
        for finding in parsed.findings
    )  # fmt: skip
    return replace(parsed, findings=findings)


def test_files_are_joined_and_a_later_profile_counts(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.yaml" for name in "abc")
    first.write_text("profile: strict\n" + ALLOW.format("2030-01-01"))
    second.write_text(f"allow: [{{class: mac.apparmor, {ENTRY}}}]")
    third.write_text("profile: default")
    joined = load_policy([first, second, third], knowledge())
    assert (joined.profile, [entry.class_ for entry in joined.allow]) == (
        "default", ["kernel_params.kptr_restrict", "mac.apparmor"],
    )  # fmt: skip
    assert load_policy([first, second], knowledge()).profile == "strict"
    assert len({load_policy(files, knowledge()).digest for files in ([], [first], [first, second])}) == 3


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (ALLOW.replace("    owner: ops\n", "").format("2030-01-01"), 2, "owner"),
        (ALLOW.replace("debugging host", "' '").format("2030-01-01"), 4, "reason"),
        (ALLOW.format("soon"), 5, "expires"),
        (ALLOW.format("2026-13-45"), 5, "month must be in 1..12"),
        (ALLOW.format("2030-01-01") + "    until: 2031-01-01\n", 6, "Extra inputs"),
        (ALLOW.replace("class: kernel", "class: kernal").format("2030-01-01"), 2, "no such class: kernal_params"),
        (f"allow:\n  - {{{ENTRY}}}\n", 2, "needs a class or a fingerprint"),
        (f"allow:\n  - {{class: '*', {ENTRY}}}\n", 2, "every finding of every host"),
        (f"allow:\n  - {{fingerprint: '', {ENTRY}}}\n", 2, "fingerprint"),
        (f"allow:\n  - {{fingerprint: 'xyz', {ENTRY}}}\n", 2, "fingerprint"),
        (f"allow:\n  - {{class: ioc.deleted_executable, slots: {{paht: /x}}, {ENTRY}}}\n", 2, "no such slot"),
        ("overrides:\n  - {class: mac.none, severity: terrible, reason: x}\n", 2, "severity"),
        ("overrides:\n  - {class: mac.none, severity: error, reason: x}\n", 2, "severity"),
        ("overrides:\n  - {class: mac.none, severity: low}\n", 2, "reason"),
        ("profile: lax\n", 1, "no such profile: lax (there are: "),
        ("profil: strict\n", 1, "profil"),
        ("profile: strict\nprofile: default\n", 2, "'profile' stands twice"),
        ("allow: {]}", 1, "not YAML"),
        ("- a\n- b\n", 1, "must be a mapping"),
        ("allow: 3\n", 1, "allow"),
        ("a: \x00\n", 1, "not YAML"),
        ("allow: &a [*a]\n", 1, "aliases"),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_reason(text: str, line: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        policy(tmp_path, text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'policy.yaml'}:{line}: "), message
    assert reason in message
    assert "\n" not in message


def test_a_file_that_multiplies_itself_is_refused(tmp_path: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(ConfigError, match="too many entries"):
        policy(tmp_path, text)


def test_a_file_nested_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nested too deeply|not YAML"):
        policy(tmp_path, "[" * 20_000)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"policy\.yaml: (not UTF-8|cannot be read)"):
        load_policy([file], knowledge())


@pytest.mark.parametrize(
    ("claimed", "received", "status"),
    [
        ("2026-06-01T00:00:00Z", "2026-06-30T23:00:00Z", "accepted"),
        ("2001-01-01T00:00:00Z", "2026-06-30T23:00:00Z", "accepted"),
        ("2001-01-01T00:00:00Z", "2026-07-01T00:00:00Z", "open"),
        ("2026-06-24T00:00:00Z", "2026-07-01T00:00:00Z", "open"),  # a week behind is enough to revive nothing
        ("2026-07-01T00:00:00Z", "2026-06-30T00:00:00Z", "open"),
        ("2026-06-30T00:00:00Z", "", "accepted"),
    ],
)
def test_the_clock_of_the_host_revives_no_acceptance(claimed: str, received: str, status: str) -> None:
    finding = RawFinding("kernel_params", "/proc/sys/kernel/kptr_restrict", "low", metadata={"current": "0"})
    entry = {"class": "*", "host": "h", "owner": "o", "reason": "r", "expires": "2026-06-30"}
    policy = Policy(allow=[Allow.model_validate(entry)])
    session = session_of(made_up([finding]), resources(policy), as_of=claimed, received=received)
    (line,) = documents(lines_of(session))
    record = record_of(session)
    assert (line["status"] == "accepted") is (status == "accepted")
    assert len(record["policy"]["expired"]) == (status == "open")
    assert ("implausible_time" in record["notes"]) is claimed.startswith("2001")
