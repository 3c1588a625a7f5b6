"""What the scanner goes on reporting after it is mended: the entry that is offered does what it says, and no more."""

from pathlib import Path

import pytest

from pipeline.rules.acceptance import acceptance
from pipeline.rules.policy import load_policy
from tests.pipeline.sessions import (
    documents,
    knowledge,
    lines_of,
    record_of,
    report,
    resources,
    session_of,
    shared,
)

SCAN = "db02-full.json.gz"


def test_every_offered_entry_pasted_accepts_its_finding_and_no_other(tmp_path: Path) -> None:
    session = session_of(report(SCAN), shared(), {})
    lines = documents(lines_of(session))
    offered = {
        action["acceptance"]: line["fingerprint"]
        for line in lines
        for action in line["remediation"]
        if "acceptance" in action
    }
    assert len(offered) == len(set(offered.values())) > 50
    assert record_of(session)["counts"]["stay_open"] == len(offered)

    pasted = dict(list(offered.items())[::50])
    file = tmp_path / "policy.yaml"
    file.write_text("allow:\n" + "".join(f"  {entry}\n" for entry in pasted))
    accepted = session_of(report(SCAN), resources(load_policy([file], knowledge())), {})
    after = documents(lines_of(accepted))
    assert {line["fingerprint"] for line in after if line["status"] == "false_positive"} == set(pasted.values())
    assert {line["fingerprint"] for line in after if line["suppression"]} == set(pasted.values())
    assert record_of(accepted)["counts"]["stay_open"] == len(offered) - len(pasted)


def test_only_drop_ins_of_units_are_offered_one_and_none_without_a_command() -> None:
    for line in documents(lines_of(session_of(report(SCAN), shared(), {}))):
        for action in line["remediation"]:
            by_drop_in = action["id"].startswith("systemd.dropin") and action["command"] is not None
            assert ("acceptance" in action) == by_drop_in
            if by_drop_in:
                assert "goes on reporting" in action["caution"]


def test_a_scan_without_such_findings_says_nothing_of_them() -> None:
    assert "stay_open" not in record_of(session_of(report("db02-default.json"), shared(), {}))["counts"]


@pytest.mark.parametrize(
    ("as_of", "until"), [("2026-11-02T03:00:00Z", "2027-11-02"), ("9999-12-31T00:00:00Z", "9999-12-31")]
)
def test_an_entry_holds_for_a_year_whatever_the_words_are(tmp_path: Path, as_of: str, until: str) -> None:
    words = "Set \"x\": {y} # 'z' \u00fc\u20ac\U0001f600 \\ %"
    file = tmp_path / "policy.yaml"
    file.write_text("allow:\n" + acceptance("systemd_units.PrivateTmp", "0" * 32, words, "because", as_of) + "\n")
    (entry,) = load_policy([file], knowledge()).allow
    assert (entry.reason, entry.expires.isoformat()) == (f"done: {words} (because)", until)
