"""A filter that names what there is not is refused with what was probably meant, whichever command it is given to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.cli.invoke import REPORT, Ended

Cli = Callable[..., Ended]


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers is of no matter here, and the rules are there at once."""
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", REPORT],
        ["export", "--format", "csv", "SAVED"],
        ["export", "--format", "csv", "--state-dir", "STATE"],
        ["remediate", "--format", "bash", REPORT],
        ["remediate", "--format", "bash", "SAVED"],
        ["remediate", "--format", "bash", "--state-dir", "STATE"],
        ["report", "--format", "text", "--state-dir", "STATE"],
        ["report", "--format", "sarif", "--state-dir", "STATE"],
        ["review", "list", "--state-dir", "STATE"],
        ["review", "approve", "--yes", "--state-dir", "STATE"],
        ["review", "false-positive", "--reason", "r", "--yes", "--state-dir", "STATE"],
    ],
    ids=lambda command: " ".join(str(one) for one in command if one != REPORT),
)
def test_a_class_that_is_none_is_refused_before_anything_comes_out(
    cli: Cli, state: Path, enriched: Path, command: list[str | Path]
) -> None:
    places: dict[str | Path, Path] = {"STATE": state, "SAVED": enriched}
    arguments = [places.get(one, one) for one in command]
    ended = cli(*arguments, "--class", "ioc.suspicous_patterns")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "sysscan-agent: --class ioc.suspicous_patterns: no such class; did you mean ioc.suspicious_patterns? "
        "`sysscan-agent list classes` has all of them\n"
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("kptr_restrict", " did you mean kernel_params.kptr_restrict?"),
        ("suid.*", " did you mean suid_sgid.*?"),
        ("IOC.*", " did you mean ioc.*?"),
        ("", ""),
        ("[", ""),
        ("\x1b]0;x", ""),
    ],
)
def test_what_was_meant_is_asked_where_something_is_like_it(cli: Cli, given: str, meant: str) -> None:
    ended = cli("analyze", "--class", "mac.*", "--class", given, REPORT)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f": no such class;{meant} `sysscan-agent list classes`" in ended.err
    assert "\x1b" not in ended.err


def test_a_class_of_which_there_is_nothing_today_is_well(cli: Cli, enriched: Path) -> None:
    for pattern in ("containers.*", "unknown.*"):
        assert (cli("analyze", "--class", pattern, REPORT)).err == ""
        assert cli("export", "--format", "csv", "--class", pattern, enriched).err == ""


def test_a_class_that_only_the_saved_lines_know_is_one(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.ndjson"
    saved.write_text(enriched.read_text().replace('"mac.apparmor"', '"mac.of_tomorrow"'))
    ended = cli("export", "--format", "csv", "--class", "mac.of_tomorrow", saved)
    assert (ended.code, ended.err, ended.out.count("mac.of_tomorrow") > 0) == (0, "", True)


def test_what_is_not_there_is_said_with_what_is(cli: Cli, state: Path, enriched: Path) -> None:
    for arguments, said in (
        (["export", "--format", "csv", "--host", "web1", enriched], "no finished scan of host web1"),
        (["export", "--format", "csv", "--scan", "ffff", enriched], "no scan ffff"),
        (["remediate", "--format", "bash", "--host", "web1", REPORT], "no finished scan of host web1"),
        (["report", "--list", "--host", "web1", "--state-dir", state], "no finished scan of host web1"),
        (["review", "list", "--host", "web1", "--state-dir", state], "--host web1: no scan of this host is kept"),
        (["review", "approve", "--host", "web1", "--yes", "--state-dir", state], "--host web1: no scan of this host"),
    ):
        ended = cli(*arguments)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
        assert said in ended.err
        assert ended.err.endswith("web01\n")


def test_a_review_filter_that_nothing_fits_is_named_in_a_pipe_too(cli: Cli, state: Path) -> None:
    ended = cli("review", "list", "--class", "containers.*", "--state-dir", state)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "sysscan-agent: Nothing that is left to review fits; leave a filter out.\n"
    ended = cli("review", "list", "--scanner", "nosuch", "--state-dir", state)
    assert (ended.code, ended.out) == (2, "")
    assert "--scanner nosuch: not one of auditd, " in ended.err


@pytest.mark.parametrize("filter_", [["--class", "ioc.*"], ["--level", "low"], ["--scanner", "ioc"]])
def test_a_filter_beside_a_key_is_refused_for_it_would_not_count(cli: Cli, state: Path, filter_: list[str]) -> None:
    ended = cli("review", "approve", "abcdef", *filter_, "--yes", "--state-dir", state)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"sysscan-agent: {filter_[0]}: has no effect beside a key; give keys or filters\n"


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "--format", "csv"],
        ["analyze", "--format", "text"],
        ["analyze"],
        ["remediate", "--format", "bash"],
    ],
    ids=" ".join,
)
def test_new_without_an_earlier_scan_is_everything_and_says_so(cli: Cli, command: list[str]) -> None:
    ended = cli(*command, "--new", REPORT)
    assert ended.code == 0
    assert ended.err == (
        "sysscan-agent: --new: no earlier scans are known of some findings, so that all of these count as new\n"
    )


def test_new_says_nothing_where_earlier_scans_are_known(cli: Cli, state: Path, enriched: Path) -> None:
    for arguments in (["report", "--format", "text"], ["export", "--format", "csv"], ["remediate", "--format", "bash"]):
        assert cli(*arguments, "--new", "--state-dir", state).err == ""
    ended = cli("export", "--format", "csv", "--new", enriched)  # of `analyze`, which keeps no baseline
    assert "--new: no earlier scans are known" in ended.err


def test_a_scan_beside_a_list_of_scans_is_refused(cli: Cli, state: Path) -> None:
    ended = cli("report", "abcdef", "--list", "--state-dir", state)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "sysscan-agent: abcdef: a scan has no effect beside --list; leave one of them out\n"
