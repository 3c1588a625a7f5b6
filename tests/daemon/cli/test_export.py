"""`export`: the same findings in other forms, from saved lines, from a pipe, from the ledger, and from an analysis."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.cli.options import Form
from pipeline.output.cut import LineRecord
from pipeline.output.ecs import ecs_line
from pipeline.output.lines import line_of, whole_record
from pipeline.output.read import read_finding, read_issue, read_scan_line
from pipeline.output.write import write
from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT, SCANS, Ended, in_a_process

Cli = Callable[..., Ended]
FORMS = get_args(Form)
KEYS = ("fingerprint", "status", "level", "score")


def results(log: str) -> list[dict[str, Any]]:
    """What is ours of each result of a SARIF log, in order."""
    return [one["properties"]["sysscan"] for run in json.loads(log)["runs"] for one in run["results"]]


def notices(log: str) -> str:
    """All that the runs of a SARIF log say of what is missing."""
    runs = json.loads(log)["runs"]
    told = [one for run in runs for one in run["invocations"][0].get("toolExecutionNotifications", [])]
    return " ".join(one["message"]["text"] for one in told)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def findings(path: Path) -> list[dict[str, Any]]:
    return [one for one in map(json.loads, lines(path)) if one["schema"] == "sysscan.enriched/1"]


def written(path: Path, content: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(content))
    return path


@pytest.fixture
def own_state(state: Path, tmp_path: Path) -> Path:
    """A state directory that a test may change."""
    return Path(shutil.copytree(state, tmp_path / "state"))


def test_saved_lines_are_exported_whole_and_in_order(cli: Cli, enriched: Path) -> None:
    ended = cli("export", enriched, "--format", "sarif", "--all")
    assert (ended.code, ended.err) == (0, "")
    saved = findings(enriched)
    assert [one["dedupe_key"] for one in results(ended.out)] == [one["dedupe_key"] for one in saved]
    assert cli("export", enriched, "--format", "sarif", "--all").out == ended.out


def test_a_pipe_gives_the_same_bytes(cli: Cli, enriched: Path) -> None:
    command = [*COMMAND, "export", "-", "--format", "sarif", "--all"]
    done = subprocess.run(command, input=enriched.read_bytes(), capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.decode() == cli("export", enriched, "--format", "sarif", "--all").out


def test_an_analysis_gives_the_same_bytes(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    exported = cli("export", enriched, "--format", "sarif").out
    made = cli("analyze", REPORT, "--format", "sarif")
    assert (made.code, made.out) == (0, exported)
    cli("analyze", REPORT, "--format", "sarif", "--output", tmp_path / "out.sarif")
    assert (tmp_path / "out.sarif").read_text(encoding="utf-8") == exported


def test_an_analysis_says_in_the_form_what_it_could_not_use(cli: Cli, tmp_path: Path) -> None:
    document = json.loads(REPORT.read_bytes())
    next(section for section in document["results"] if section["findings"])["findings"][0]["severity"] = 7
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document), encoding="utf-8")
    ended = cli("analyze", broken, "--format", "sarif")
    assert ended.code == 1
    assert "Could not be used: 1 piece of what was to be analysed." in notices(ended.out)
    assert "The report is incomplete" in notices(ended.out)


def test_the_ledger_gives_the_latest_scan_of_each_host(cli: Cli, state: Path, enriched: Path) -> None:
    ended = cli("export", "--state-dir", state, "--format", "sarif", "--all")
    assert (ended.code, ended.err) == (0, "")
    saved = {one["fingerprint"]: one for one in findings(enriched)}
    found = results(ended.out)
    assert {one["fingerprint"] for one in found} == saved.keys()
    assert all(one["status"] == saved[one["fingerprint"]]["status"] for one in found)
    assert "In quarantine: 2 pieces of input" in notices(ended.out)
    assert cli("report", "--state-dir", state, "--format", "sarif").code == 0


def test_a_host_or_a_scan_can_be_chosen(cli: Cli, tmp_path: Path) -> None:
    both = tmp_path / "both.ndjson"
    cli("analyze", REPORT, SCANS / "db02-default.json", "--output", both)
    hosts = [json.loads(line)["host"] for line in lines(both) if b'"schema":"sysscan.scan/1"' in line]
    assert hosts == ["web01", "db02"]
    for options in (["--host", "db02"], ["--scan", json.loads(lines(both)[-1])["scan_id"][:8]]):
        ended = cli("export", both, "--format", "sarif", *options)
        assert {one["host"] for one in results(ended.out)} == {"db02"}
    assert len(json.loads(cli("export", both, "--format", "sarif").out)["runs"]) == 2
    for options in (["--host", "nowhere"], ["--scan", "ffffffff"]):
        ended = cli("export", both, "--format", "sarif", *options)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
        assert options[1] in ended.err


def test_mixed_and_doubled_lines_give_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    """As a reader of a topic saves them: scans of several hosts at once, some lines delivered twice."""
    one, other = tmp_path / "one.ndjson", tmp_path / "other.ndjson"
    cli("analyze", REPORT, "--output", one)
    cli("analyze", SCANS / "db02-drift-1.json", "--output", other)
    first, second = lines(one), lines(other)
    apart = written(tmp_path / "apart.ndjson", [*first, *second])
    mixed: list[bytes] = []
    for number in range(max(len(first), len(second))):
        mixed += first[number : number + 1] * (1 + number % 2) + second[number : number + 1]
    together = written(tmp_path / "together.ndjson", [*mixed, *first])
    assert cli("export", together, "--format", "sarif").out == cli("export", apart, "--format", "sarif").out


def test_a_file_that_was_cut_off_is_exported_and_says_so(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    whole = lines(enriched)
    cut = written(tmp_path / "cut.ndjson", [*whole[:5], whole[5][:100]])
    ended = cli("export", cut, "--format", "sarif", "--all")
    assert (ended.code, len(results(ended.out))) == (1, 5)
    assert f"{cut}: line 6 cannot be used: not JSON" in ended.err
    assert ended.err.count("\n") == 1
    assert "The record of the scan is not in the input" in notices(ended.out)
    assert "Could not be read in the input: 1 line" in notices(ended.out)


def test_lines_that_are_missing_are_counted(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    whole = lines(enriched)
    lacking = written(tmp_path / "lacking.ndjson", [*whole[:3], *whole[-3:]])
    ended = cli("export", lacking, "--format", "sarif")
    assert ended.code == 0
    assert f"Of the {len(findings(enriched))} findings of the scan, 3 are in the input." in notices(ended.out)
    issues = len(json.loads(whole[-1])["issues"])
    assert f"Of the {issues} issues of the scan, 2 are in the input." in notices(ended.out)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not json\n", "(line 1: not JSON: "),
        (b"[1]\n", "(line 1: not a line of sysscan-agent)"),
        (b'{"schema":"sysscan.enriched/2"}\n', "'sysscan.enriched/2' is not known; did a newer version write it?"),
        (b'{"schema":"sysscan.enriched/1"}\n', "(line 1: dedupe_key: is missing)"),
        (b'{"schema":"sysscan.scan/1"}\n', "(line 1: "),
        (b'{"schema":"sysscan.issue/1"}\n', "(line 1: "),
        (b"\x7fELF\x02\x01\n\xff\xfe\n" * 3000, "(line 1: not JSON: "),
        (b"a,b\n" * 3000, "(line 1: not JSON: "),
        (SCANS.joinpath("micro-default.json").read_bytes(), "give a scanner report to `sysscan-agent analyze`"),
        (b"", "empty"),
        (b"\xff\xfe\n", "(line 1: not JSON: "),
    ],
)
def test_a_file_of_another_kind_is_one_message(
    cli: Cli, enriched: Path, tmp_path: Path, content: bytes, why: str
) -> None:
    bad = written(tmp_path / "bad.ndjson", [content])
    ended = cli("export", bad, "--format", "sarif")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"sysscan-agent: {bad}: ") and why in ended.err
    beside = cli("export", enriched, bad, "--format", "csv")
    assert (beside.code, beside.err) == ((1, ended.err) if content else (0, ""))
    assert beside.out.count("\r\n") == cli("export", enriched, "--format", "csv").out.count("\r\n") > 1


def test_a_thousand_bad_lines_are_not_a_thousand_messages(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.ndjson", [*lines(enriched), b"x\n" * 1000])
    ended = cli("export", bad, "--format", "sarif")
    assert (ended.code, ended.err.count("\n")) == (1, 21)
    assert ended.err.splitlines()[-1] == "sysscan-agent: 980 more lines cannot be used"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["/nowhere.ndjson", "--format", "sarif"], 2, "/nowhere.ndjson: cannot be read: No such file or directory"),
        (["/", "--format", "sarif"], 2, "/: cannot be read: Is a directory"),
        (["--format", "sarif", "--state-dir", "/nowhere"], 3, "/nowhere"),
        (["--format", "pdf"], 2, "'pdf' is not"),
        ([], 2, "Missing option '--format'"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli: Cli, arguments: list[str], code: int, why: str) -> None:
    ended = cli("export", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert why in ended.err


def test_a_file_is_not_written_over_itself(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(enriched, tmp_path / "own.ndjson"))
    ended = cli("export", own, "--format", "sarif", "--output", own)
    assert ended.code == 2
    assert "would be overwritten" in ended.err
    assert own.read_bytes() == enriched.read_bytes()


def test_the_list_of_reports_has_no_such_form(cli: Cli, state: Path) -> None:
    ended = cli("report", "--list", "--format", "sarif", "--state-dir", state)
    assert (ended.code, ended.out) == (2, "")
    assert "--list: has no form sarif" in ended.err


def test_an_option_without_effect_is_refused(cli: Cli) -> None:
    ended = cli("analyze", REPORT, "--json", "--format", "sarif")
    assert (ended.code, ended.out) == (2, "")
    assert "--json: has no effect beside --format sarif" in ended.err


def test_a_verdict_counts_at_once_in_the_ledger_and_in_saved_lines(cli: Cli, own_state: Path, tmp_path: Path) -> None:
    before = results(cli("export", "--state-dir", own_state, "--format", "sarif").out)
    key = max(before, key=lambda one: int(one["score"]))["fingerprint"]
    options = ["--owner", "ops", "--until", "2027-01-31", "--reason", "replaced", "--yes", "--state-dir", own_state]
    assert cli("review", "accept", key, *options).code == 0
    from_ledger = cli("export", "--state-dir", own_state, "--format", "sarif").out
    (now,) = [one for one in results(from_ledger) if one["fingerprint"] == key]
    assert now["status"] == "accepted"
    assert '"accepted by ops until 2027-01-31: replaced"' in from_ledger
    # The next run of the daemon tells of it: lines, and behind them the record of the verdict.
    output = own_state / "findings.ndjson"
    reports = tmp_path / "reports"
    reports.mkdir()
    done = in_a_process("run", "--once", "--watch", str(reports), "--state-dir", str(own_state))
    assert done.code == 0, done.err
    assert lines(output)[-1].count(b"sysscan.verdict/1") == 1
    # Of several lines about one thing in one situation the ledger keeps the worst.
    saved = {tuple(one[name] for name in KEYS) for one in results(cli("export", output, "--format", "sarif").out)}
    kept = {tuple(one[name] for name in KEYS) for one in results(from_ledger)}
    assert kept <= saved and {one[0] for one in kept} == {one[0] for one in saved}


def test_verdicts_of_two_logs_are_refused(cli: Cli, enriched: Path, own_state: Path, tmp_path: Path) -> None:
    key = json.loads(lines(enriched)[0])["fingerprint"]
    assert cli("review", "approve", key, "--yes", "--state-dir", own_state).code == 0
    (tmp_path / "reports").mkdir()
    in_a_process("run", "--once", "--watch", str(tmp_path / "reports"), "--state-dir", str(own_state))
    record = json.loads(lines(own_state / "findings.ndjson")[-1])
    assert record["schema"] == "sysscan.verdict/1"
    other = {**record, "head": "f" * 64, "dedupe_key": "f" * 32}
    mixed = tmp_path / "mixed.ndjson"
    mixed.write_bytes((own_state / "findings.ndjson").read_bytes() + json.dumps(other).encode() + b"\n")
    ended = cli("export", mixed, "--format", "sarif")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "verdict 1 stands there in two ways" in ended.err


@pytest.mark.parametrize(("flag", "form"), [("--bom", "sarif"), ("--all", "csv")])
def test_a_flag_of_another_form_is_refused(cli: Cli, enriched: Path, flag: str, form: str) -> None:
    ended = cli("export", enriched, "--format", form, flag)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"{flag}: has no effect on --format {form}" in ended.err


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_offered_wherever_findings_are(cli: Cli, enriched: Path, state: Path, form: str) -> None:
    saved = cli("export", enriched, "--format", form)
    assert (saved.code, saved.err) == (0, "")
    assert saved.out
    assert cli("export", enriched, "--format", form).out == saved.out
    assert cli("analyze", REPORT, "--format", form).out == saved.out
    for command in ("export", "report"):
        kept = cli(command, "--format", form, "--state-dir", state)
        assert (kept.code, kept.err) == (0, "")
        assert kept.out


def test_our_own_lines_go_through_as_they_are(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    ended = cli("export", enriched, "--format", "ndjson")
    assert ended.out.encode() == enriched.read_bytes()
    again = written(tmp_path / "again.ndjson", [ended.out.encode()])
    assert cli("export", again, "--format", "ndjson").out == ended.out


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a daemon that saw one host twice in one scope and then in another, and a second host twice."""
    directory = tmp_path_factory.mktemp("fleet")
    reports = directory / "reports"
    reports.mkdir()
    again = json.loads(REPORT.read_bytes())
    again["summary"].update(started_at="2026-11-03T02:11:41Z", finished_at="2026-11-03T02:11:44Z")
    for name in ("db02-drift-1.json", "db02-drift-2.json", "db02-hardening-nosystemd.json", REPORT.name, "again.json"):
        content = json.dumps(again).encode() if name == "again.json" else (SCANS / name).read_bytes()
        (reports / name).write_bytes(content)
        done = in_a_process("run", "--once", "--watch", str(reports), "--state-dir", str(directory / "state"))
        assert done.code == 0, done.err
    return directory / "state"


def scan_ids(cli: Cli, state: Path) -> dict[str, str]:
    """The id of each scan in a ledger, by the name of its file."""
    listed = map(json.loads, cli("report", "--list", "--format", "json", "--state-dir", state).out.splitlines())
    return {Path(one["source"]).name: one["scan_id"] for one in listed}


def test_the_ledger_gives_one_scan_for_each_host_and_scope_and_counts_what_it_lacks(cli: Cli, fleet: Path) -> None:
    ids = scan_ids(cli, fleet)
    scans = json.loads(cli("export", "--state-dir", fleet, "--format", "json").out)["scans"]
    latest = ["db02-drift-2.json", "db02-hardening-nosystemd.json", "again.json"]
    assert sorted(scan["scan_id"] for scan in scans) == sorted(ids[name] for name in latest)
    found = [(one["fingerprint"], one["analysis"]["situation"]) for scan in scans for one in scan["findings"]]
    # A thing of a host is there once in each situation that its lines are in, whatever scopes saw it.
    assert len(found) == len(set(found)) > 180
    by_id = {scan["scan_id"]: scan for scan in scans}
    told = {name: [one["text"] for one in by_id[ids[name]]["missing"] if one["id"] == "input"] for name in latest}
    assert told["db02-hardening-nosystemd.json"] == []
    assert told["db02-drift-2.json"][0].startswith("The ledger has 1 of the 77 lines of the scan")
    assert told["again.json"] == ["Of lines about one thing the worst is here: 96 findings stand for 97 lines."]


def test_an_earlier_scan_is_handed_out_as_far_as_it_is_kept_and_not_at_all_where_it_is_not(
    cli: Cli, fleet: Path
) -> None:
    ids = scan_ids(cli, fleet)
    some = cli("report", ids["db02-drift-1.json"], "--format", "csv", "--state-dir", fleet)
    assert (some.code, some.out.count("\n")) == (0, 4)
    assert some.out.count("The ledger has 3 of the 79 lines of the scan") == 3
    for command in (["report", ids[REPORT.name]], ["export", "--scan", ids[REPORT.name]]):
        none = cli(*command, "--format", "csv", "--state-dir", fleet)
        assert (none.code, none.out, none.err.count("\n")) == (4, "", 1)
        assert f"the findings of scan {ids[REPORT.name]} are not kept" in none.err


@pytest.mark.parametrize("flag", ["--state-dir", "--policy", "--knowledge"])
def test_a_flag_of_the_ledger_is_refused_for_saved_lines(cli: Cli, enriched: Path, tmp_path: Path, flag: str) -> None:
    ended = cli("export", enriched, "--format", "csv", flag, tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert f"{flag}: has no effect on saved lines" in ended.err


def test_lines_with_verdicts_applied_are_not_changed_again(cli: Cli, own_state: Path, tmp_path: Path) -> None:
    output = own_state / "findings.ndjson"
    key = json.loads(lines(output)[0])["fingerprint"]
    assert cli("review", "false-positive", key, "--reason", "ours", "--yes", "--state-dir", own_state).code == 0
    (tmp_path / "reports").mkdir()
    in_a_process("run", "--once", "--watch", str(tmp_path / "reports"), "--state-dir", str(own_state))
    once = cli("export", output, "--format", "ndjson").out
    first = json.loads(once.splitlines()[0])
    assert (first["status"], first["provenance"]["verdicts"]["seq"]) == ("false_positive", 1)
    assert json.loads(once.splitlines()[-1])["schema"] == "sysscan.verdict/1"
    again = written(tmp_path / "again.ndjson", [once.encode()])
    assert cli("export", again, "--format", "ndjson").out == once


@pytest.mark.parametrize("form", [*FORMS])
def test_a_report_goes_to_a_file_as_to_a_pipe(cli: Cli, state: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    ended = cli("report", "--state-dir", state, "--format", form, "--output", target)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert target.read_bytes().decode() == cli("report", "--state-dir", state, "--format", form).out
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arguments", [[], ["--format", "text"], ["--list"]])
def test_what_a_report_cannot_write_to_a_file_is_refused(
    cli: Cli, state: Path, tmp_path: Path, arguments: list[str]
) -> None:
    ended = cli("report", "--state-dir", state, "--output", tmp_path / "out", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_there_stays_whole_until_the_new_one_is(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "out.sarif", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    held = target.open("rb")
    assert cli("export", enriched, "--format", "sarif", "--output", link).code == 0
    assert held.read() == b"old"  # whoever reads it reads on
    held.close()
    assert link.is_symlink() and results(target.read_text(encoding="utf-8"))
    bad = written(tmp_path / "bad.ndjson", [b"x\n"])
    before = target.read_bytes()
    assert cli("export", bad, "--format", "sarif", "--output", target).code == 2
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.ndjson", "link", "out.sarif"]


def test_a_pipe_or_a_device_is_written_to_as_it_is(cli: Cli, enriched: Path) -> None:
    assert cli("export", enriched, "--format", "csv", "--output", "/dev/null").code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["findings.ndjson", "findings.000001.ndjson", "ledger.db"])
def test_what_the_daemon_writes_is_not_overwritten(cli: Cli, own_state: Path, enriched: Path, name: str) -> None:
    target = own_state / name
    if not target.exists():
        target.write_bytes(b"kept\n")
    before = target.read_bytes()
    for command in (
        ("export", "--format", "csv", "--state-dir", own_state),
        ("report", "--format", "csv", "--state-dir", own_state),
        ("analyze", REPORT, "--state-dir", own_state),
    ):
        ended = cli(*command, "--output", target)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "is what the daemon writes" in ended.err
    assert target.read_bytes() == before


def whole_scan(path: Path) -> bytes:
    """The record of the one scan in a file, as earlier versions wrote it: in one line, with its issues in it."""
    *issues, last = [line for line in lines(path) if b'"schema":"sysscan.enriched/1"' not in line]
    return write(whole_record(read_scan_line(last), map(read_issue, issues))) + b"\n"


def test_a_file_of_an_earlier_version_gives_the_same_and_so_do_both_together(
    cli: Cli, enriched: Path, tmp_path: Path
) -> None:
    of_findings = [line for line in lines(enriched) if b'"schema":"sysscan.enriched/1"' in line]
    old = written(tmp_path / "old.ndjson", [*of_findings, whole_scan(enriched)])
    for form in ("sarif", "json", "ndjson"):
        ended = cli("export", old, "--format", form)
        assert (ended.code, ended.err) == (0, "")
        assert (
            ended.out
            == cli("export", enriched, "--format", form).out
            == cli("export", enriched, old, "--format", form).out
        )


def test_lines_for_ecs_give_the_same_and_explain_finds_them(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    readers: dict[str, Callable[[bytes], LineRecord]]
    readers = {"sysscan.enriched/1": read_finding, "sysscan.issue/1": read_issue, "sysscan.scan/1": read_scan_line}
    mapped = [ecs_line(readers[json.loads(line)["schema"]](line)) + b"\n" for line in lines(enriched)]
    file = written(tmp_path / "ecs.ndjson", mapped)
    assert cli("export", file, "--format", "ndjson").out.encode() == enriched.read_bytes()
    key = findings(enriched)[0]["dedupe_key"]
    assert cli("explain", key, "--from", file).out == cli("explain", key, "--from", enriched).out


def test_lines_that_were_cut_are_counted(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    first, *rest = lines(enriched)
    long = read_finding(first)
    long = replace(long, finding=replace(long.finding, extra={"made_up": "x" * 100_000}))
    cut = written(tmp_path / "cut.ndjson", [line_of(long) + b"\n", *rest])
    assert "Cut in the input, because a line would have been too long: 1 line" in notices(
        cli("export", cut, "--format", "sarif").out
    )
    told = cli("explain", long.dedupe_key, "--from", cut, "--format", "text").out
    assert f"sysscan-agent export --scan {long.scan_id} --format json" in told
    assert "finding.extra: " in told
    # Handed on, it is cut as it was.
    assert cli("export", cut, "--format", "ndjson").out.splitlines()[0].encode() == line_of(long)
