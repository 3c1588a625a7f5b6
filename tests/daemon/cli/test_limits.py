"""Every limit is honoured by `analyze` and by the daemon, and what it refuses names the setting."""

import gzip
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from annotated_types import Le

from pipeline.report.limits import Limits
from tests.daemon.cli.invoke import Ended, in_a_process

Cli = Callable[..., Ended]


def finding(number: int, **others: object) -> dict[str, object]:
    return {"id": f"f{number}", "title": "t", "severity": "low", "metadata": {}, **others}


def report(*findings: Mapping[str, object]) -> bytes:
    return orjson.dumps({"meta": {"hostname": "h"}, "results": [{"scanner": "mac", "findings": list(findings)}]})


def nested(depth: int) -> bytes:
    """Make a report of this depth, in which a finding's metadata is the deepest."""
    above = 6  # document, results, section, findings, finding, metadata
    inner: object = "x"
    for _ in range(depth - above):
        inner = [inner]
    return report(finding(1), finding(2, metadata={"m": inner}))


def lines(*findings: dict[str, object]) -> bytes:
    return b"".join(orjson.dumps({"type": "finding", "scanner": "mac", **one}) + b"\n" for one in findings)


def at_odds(count: int) -> bytes:
    """Make a report with so many findings that cannot be used, and one that can."""
    return report(finding(0), *({"id": 7} for _ in range(count)))


def not_json(count: int) -> bytes:
    return report(finding(0, metadata={"m": ["@"] * count})).replace(b'"@"', b"NaN")


BLANKS = b" " * (80 << 10)

# limit, its value, name of a file, what is past the limit, findings of it that are used all the same
PAST = [
    ("max_bytes", 65_536, "large.json", report(finding(1)) + BLANKS, 0),
    ("max_bytes", 65_536, "packed.json.gz", gzip.compress(report(finding(1)) + random.Random(1).randbytes(70_000)), 0),
    ("max_ratio", 50, "bomb.json.gz", gzip.compress(report(finding(1)) + BLANKS[:60_000]), 0),
    ("max_line_bytes", 4096, "line.ndjson", lines(finding(1), finding(2, title="t" * 5000), finding(3)), 2),
    ("max_depth", 16, "deep.json", nested(17), 1),
    ("max_findings", 6, "many.json", report(*map(finding, range(7))), 0),
    ("max_rejects", 3, "flawed.json", at_odds(4), 0),
    ("max_repairs", 3, "odd.json", not_json(5), 0),
]
SMALL = {f"SYSSCAN_LIMITS__{limit.upper()}": str(value) for limit, value, *_ in PAST}
SMALL["SYSSCAN_LIMITS__RATIO_FLOOR_BYTES"] = "1024"
each = pytest.mark.parametrize(("limit", "name", "content", "used"), [(one[0], *one[2:]) for one in PAST])


def ids(ndjson: str) -> list[str]:
    records = [orjson.loads(line) for line in ndjson.splitlines()]
    return [record["finding"]["id"] for record in records if record["schema"].startswith("sysscan.enriched")]


def watch_once(base: Path, **environment: str) -> Ended:
    return in_a_process(
        "run", "--once", "--watch", str(base / "in"), "--state-dir", str(base / "state"),
        SYSSCAN_MODEL__ENABLED="false", SYSSCAN_WATCH__SETTLE_S="0", **environment,
    )  # fmt: skip


def emitted(base: Path) -> list[dict[str, Any]]:
    output = base / "state" / "findings.ndjson"
    return [record for line in output.read_text().splitlines() if "finding" in (record := orjson.loads(line))]


def place(base: Path, name: str, content: bytes) -> Path:
    (base / "in").mkdir(exist_ok=True)
    path = base / "in" / name
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a daemon with small limits has met all that is past them."""
    base = tmp_path_factory.mktemp("limits")
    for _, _, name, content, _ in PAST:
        place(base, name, content)
    done = watch_once(base, **SMALL)
    assert done.code == 1, done.err
    return base


@each
def test_analyze_names_the_limit_that_it_refuses_by(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, name: str, content: bytes, used: int
) -> None:
    for variable, value in SMALL.items():
        monkeypatch.setenv(variable, value)
    ended = cli("analyze", place(tmp_path, name, content))
    assert ended.code == 1
    assert f"limits.{limit}" in ended.err
    assert len(ids(ended.out)) == used


@each
def test_the_daemon_names_the_limit_that_it_refuses_by(
    cli: Cli, daemon: Path, limit: str, name: str, content: bytes, used: int
) -> None:
    listed = cli("ledger", "quarantine", "list", "--state-dir", daemon / "state").out.splitlines()
    details = [entry["detail"] for line in listed if (entry := orjson.loads(line))["source"].endswith(name)]
    assert any(f"limits.{limit}" in detail for detail in details), details
    assert len(emitted(daemon)) == sum(one[-1] for one in PAST)


@each
def test_the_limit_can_be_raised(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, name: str, content: bytes, used: int
) -> None:
    monkeypatch.setenv("SYSSCAN_LIMITS__RATIO_FLOOR_BYTES", "1024")
    monkeypatch.setenv("SYSSCAN_LIMITS__MAX_RATIO", "1032")
    ended = cli("analyze", place(tmp_path, name, content))  # with the defaults
    assert f"limits.{limit}" not in ended.err
    assert len(ids(ended.out)) > used or limit == "max_repairs"  # what is not JSON is left out, however little it is


def test_a_stream_with_more_findings_than_a_scan_may_have_goes_on_in_a_next_one(tmp_path: Path) -> None:
    place(tmp_path, "a.ndjson", lines(*map(finding, range(5))))
    assert watch_once(tmp_path, SYSSCAN_LIMITS__MAX_FINDINGS="2").code == 0
    found = emitted(tmp_path)
    assert [one["finding"]["id"] for one in found] == [f"f{number}" for number in range(5)]
    assert len({one["scan_id"] for one in found}) == 3


def test_what_was_refused_is_read_again_once_the_limit_is_raised(cli: Cli, tmp_path: Path) -> None:
    place(tmp_path, "large.json", report(finding(1)) + BLANKS)
    place(tmp_path, "many.json", report(*map(finding, range(3))))
    assert watch_once(tmp_path, SYSSCAN_LIMITS__MAX_BYTES="65536", SYSSCAN_LIMITS__MAX_FINDINGS="2").code == 1
    assert watch_once(tmp_path).code == 0
    assert len(emitted(tmp_path)) == 1  # by itself only where the size of the file had decided
    for number in ("1", "2"):
        assert cli("ledger", "quarantine", "retry", number, "--state-dir", tmp_path / "state").code == 0
    assert watch_once(tmp_path).code == 0
    assert len(emitted(tmp_path)) == 4


def test_the_deepest_that_can_be_allowed_can_be_written(cli: Cli, tmp_path: Path) -> None:
    (deepest,) = [bound.le for bound in Limits.model_fields["max_depth"].metadata if isinstance(bound, Le)]
    path = place(tmp_path, "a.json", nested(int(str(deepest))))
    assert watch_once(tmp_path, SYSSCAN_LIMITS__MAX_DEPTH=str(deepest)).code == 0
    assert len(emitted(tmp_path)) == 2
    assert "limits.max_depth" in cli("analyze", path).err
