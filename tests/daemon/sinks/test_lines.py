"""Which lines a row is in a file: a scan is its issues, as they are wanted, and then one line."""

import orjson
import pytest
from structlog.testing import capture_logs

from daemon.ports.outbox import OutboxRow
from daemon.sinks.lines import Mapping, line_maker
from pipeline.output.ecs import plain_line
from pipeline.output.lines import scan_lines
from pipeline.output.read import read_issue, read_scan, read_scan_line
from pipeline.output.write import write
from tests.pipeline.sessions import Baseline, lines_of, report, resources


def rows(name: str, again: str | None = None) -> list[OutboxRow]:
    """The rows of a scan, or of the next one beside it, as the ledger keeps them."""
    baseline, on = Baseline(), resources()
    for number, one in enumerate([name, again] if again else [name], 1):
        session = baseline.session(report(one), on, number)
        lines = lines_of(session)
    found = [
        OutboxRow(at, "finding", line.key, line.level, line.changed, line.line) for at, line in enumerate(lines, 1)
    ]
    record = session.record()
    return [*found, OutboxRow(len(found) + 1, "scan", record.scan_id, "info", True, write(record))]


def test_findings_are_their_lines_and_a_scan_is_its_issues_and_then_itself() -> None:
    lines = line_maker()
    *findings, scan = rows("web01-ioc.json")
    assert all(lines(row) == [row.line] for row in findings)
    made = lines(scan)
    assert made == scan_lines(read_scan(scan.line)) == lines(scan)
    assert [orjson.loads(one)["schema"] for one in made] == [*["sysscan.issue/1"] * (len(made) - 1), "sysscan.scan/1"]
    assert len(made) > 10


def test_issues_below_the_least_level_are_left_out_and_the_scan_lists_them_still() -> None:
    scan = rows("web01-ioc.json")[-1]
    *issues, last = line_maker(min_level="high")(scan)
    record = read_scan(scan.line)
    wanted = [issue.id for issue in record.issues if issue.level in ("high", "critical")]
    assert [read_issue(one).id for one in issues] == wanted
    assert 0 < len(wanted) < len(record.issues) == len(read_scan_line(last).issues)


def test_where_only_changes_are_wanted_an_issue_of_old_findings_is_left_out() -> None:
    scan = rows("db02-drift-1.json", "db02-drift-2.json")[-1]
    *issues, _ = line_maker(changes_only=True)(scan)
    record = read_scan(scan.line)
    changed = [one.id for one in record.issues if one.baseline.keys() & {"new", "changed", "regressed"}]
    assert [read_issue(one).id for one in issues] == changed
    assert len(changed) < len(record.issues)
    *first, _ = line_maker(changes_only=True)(rows("db02-drift-1.json")[-1])
    assert len(first) == len(read_scan(rows("db02-drift-1.json")[-1].line).issues)


def test_lines_for_ecs_hold_the_plain_ones() -> None:
    plain, mapped = line_maker(), line_maker("ecs")
    for row in rows("web01-fs-hygiene.json"):
        assert [plain_line(one) for one in mapped(row)] == plain(row)
        assert all(one.startswith(b'{"@timestamp":') for one in mapped(row))


@pytest.mark.parametrize("mapping", ["plain", "ecs"])
def test_a_row_that_cannot_be_read_goes_out_as_it_is_and_is_logged(mapping: Mapping) -> None:
    row = OutboxRow(1, "scan", "key", "info", True, b'{"schema":"sysscan.scan/9"}')
    with capture_logs() as logs:
        assert line_maker(mapping)(row) == [row.line]
    assert [(one["event"], one["key"]) for one in logs] == [("sink.line_left_as_it_is", "key")]
