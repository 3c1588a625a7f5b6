"""Every malformed file ends as the committed table says, and the documentation shows that table.

Run this file as a program to write docs/malformed.md from the table.
"""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.errors import Incomplete, QuarantineReason, ReportError
from pipeline.report.limits import Limits
from pipeline.report.read import read_document

ROOT = Path(__file__).parents[3]
MALFORMED = ROOT / "tests" / "data" / "scans" / "malformed"
DOC = ROOT / "docs" / "malformed.md"
ROWS = json.loads((ROOT / "tests" / "data" / "malformed_expected.json").read_bytes())["files"]

HEAD = """# What becomes of malformed reports

The table is `tests/data/malformed_expected.json`; `tests/pipeline/report/test_malformed.py` compares it with what the
parser does, and this page with it (run that file as a program to write this page again).

- **read**: the findings counted here are used; what stands under "left out" goes to quarantine with its reason.
- **waits**: the file may still be being written. It is read again when it changes, and goes to quarantine whole, with
  this reason, when it stays as it is.
- **refused**: goes to quarantine whole, at once.

Nothing of a cut JSON document is used. Of a file that holds several reports, those that are whole are used. A finding
with a flaw is left out alone. A report with anything left out, or with fewer or more findings than it announces, does
not count as complete, so no earlier finding is taken for resolved because of it. The file itself is never touched.

A document of more than 256 KiB (unpacked) is read in a process of its own, with the same outcome. If it takes more
than the limits allow, or that process ends over it, a fresh process tries once more; then it is refused, and the next
document goes on. The daemon also bounds what it has to decode of a document itself: a finding that takes more than
2 MiB as it is kept is left out, a report whose header takes more than 4 MiB is refused, and so is a document of more
than 1,000 reports (all `too_large`). `limits.max_rejects` counts what cannot be used of all reports in a document
together.

Decisions that the table alone does not explain:

- **Case and blanks of a severity** (`"HIGH "`) are forgiven, with the original word kept in `extra.severity` and the
  note `severity_normalised`. Any other word outside the scanner's six is `unknown_severity`: no level is guessed.
- **Repeated keys**: equal values are harmless. A finding with contradicting ones is left out. In a header the key
  counts as absent (a contradictory claim is none) and is noted. Repeated `results` or `findings` are all read.
- **Bytes that are not UTF-8 and lone surrogates**: the field is escaped (backslashes doubled, bytes as `\\xNN`,
  surrogates as `\\uNNNN`) and named in `escaped`. Fields without such bytes stay as they are.
- **Raw control characters inside a string** are never the scanner's doing, so the finding is left out. An escaped one
  (`\\u0000`) is valid and kept.
- **Integers past 64 bits** are kept as their digits, as text. NaN, infinity and `1e400` leave their finding out.
- **`--pretty` damage**: the scanner's pass only ever adds to its text, and can be run backwards. Where every addition
  stands in its place the values before the damage are certain and are used (`pretty_damage`), else the text is taken
  as it is.
- **SARIF levels**: the scanner writes its own severities there. The standard's words mean error = high, warning (also
  no level) = medium, note = low, none = info, but `error` written by `sys-scan` itself is its own `error`.
  A missing level is the invocation's for that rule, else the rule's, else `warning`. A missing text, id or technique is
  taken from the rule, too.
- **SARIF states**: a result with a suppression that is `accepted` or has no status comes out as `accepted`, with the
  justification; one of the kind `pass` and one that is `absent` since the baseline as `passed`, `informational` and
  `notApplicable` as `info`, `open` and `review` as `unknown`. sys-scan writes none of these; whoever can change a
  report on its way can.

## Reason codes

| code | meaning |
| --- | --- |
| `empty` | nothing but white space |
| `not_a_report` | readable, but neither a report nor a line of one |
| `invalid_json` | not JSON, however long one waits |
| `truncated` | ends in the middle of a document or a line |
| `truncated_gzip` | compressed data ends early, whatever compressed it |
| `corrupt_gzip` | bad checksum or damaged compressed data, whatever compressed it |
| `too_large` | past `limits.max_bytes`, `limits.max_findings` or (a decompression bomb) `limits.max_ratio` |
| `line_too_long` | one NDJSON line past `limits.max_line_bytes` |
| `too_deep` | nested deeper than `limits.max_depth` |
| `control_character` | raw control characters inside a string |
| `encoding` | neither UTF-8 nor an escapable form of it |
| `no_results` | a document without a usable list of results |
| `wrong_type` | a field has a type that the format does not allow |
| `missing_field` | a finding lacks scanner, id or severity |
| `duplicate_key` | a key occurs twice with different values |
| `unknown_severity` | a word outside the scanner's set |
| `invalid_number` | NaN, infinity, or out of range |
| `unknown_record` | an NDJSON line of unknown type |
| `log_line` | the scanner's log, mixed into its output |
| `trailing_data` | bytes after a complete document |
| `not_regular` | a FIFO, device, socket, or a link out of the watched directory: not opened |
| `unreadable` | permission denied, or an input/output error; read as soon as that is possible |
| `no_key` | a message whose key does not say whose it is ([kafka.md](kafka.md)) |
| `foreign_host` | a message with a report of another host than its key names |
| `bad_part` | a part of a report, sent in several messages, that is none or does not fit its fellows |
| `parts_missing` | a report of which not all parts came in time |
| `too_costly` | reading it takes more than `limits.max_parser_memory` or `limits.max_parser_s` |
| `parser_died` | the process that reads large documents ended over it, twice |

The limits are [settings](settings.md#limits-how-much-of-a-report-is-read), and the detail of a rejection names its own.
Two are fixed, and it says so: 4 MiB for all of a report but its findings, and 2 MiB for one finding.

A **note** is no reason: the report is used, and the scan record and the summary say what was odd about it.

## Every malformed file of the test data
"""


def what_happens(name: str) -> dict[str, object]:
    try:
        document = read_document((MALFORMED / name).read_bytes(), Limits())
    except ReportError as error:
        return {"outcome": "waits" if isinstance(error, Incomplete) else "refused", "reason": error.reason}
    rejects = [reject for report in document.reports for reject in report.rejects] + list(document.rejects)
    return {
        "outcome": "read",
        "reports": [
            {
                "findings": len(report.findings),
                "complete": report.complete,
                "notes": list(report.header.notes),
                "escaped": sum(len(finding.escaped) for finding in report.findings),
            }
            for report in document.reports
        ],
        "rejects": [{"reason": reject.reason, "where": reject.path or reject.offset} for reject in rejects],
    }


def render() -> str:
    lines = [HEAD, "| file | what is wrong | outcome | findings | complete | left out | notes | |", "|---" * 8 + "|"]
    for row in ROWS:
        reports = row.get("reports", [])
        left_out = [
            f"`{reject['reason']}` at {'byte ' if isinstance(reject['where'], int) else ''}{reject['where']}"
            for reject in row.get("rejects", [])
        ]
        if row["outcome"] != "read":
            left_out = [f"`{row['reason']}`: all"]
        cells = (
            f"`{row['file']}`",
            row["wrong"],
            row["outcome"],
            " + ".join(str(report["findings"]) for report in reports) or "0",
            ", ".join("yes" if report["complete"] else "no" for report in reports) or "-",
            "; ".join(left_out) or "-",
            ", ".join(f"`{note}`" for report in reports for note in report["notes"]) or "-",
            row["remark"],
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_malformed_file_ends_as_the_table_says(row: dict[str, Any]) -> None:
    expected = {key: value for key, value in row.items() if key not in ("file", "wrong", "remark")}
    assert what_happens(row["file"]) == expected


def test_the_table_has_every_malformed_file() -> None:
    present = {path.name for path in MALFORMED.iterdir()} - {"index.json"}
    assert len(ROWS) == len(present) == 52
    assert {row["file"] for row in ROWS} == present


def test_the_documentation_shows_the_table() -> None:
    assert DOC.read_text() == render()


def test_the_documentation_explains_every_reason_code() -> None:
    section = HEAD.partition("## Reason codes")[2]
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(
        get_args(QuarantineReason)
    )


def test_pretty_damage_is_undone_exactly() -> None:
    (report,) = read_document((MALFORMED / "real-pretty-invalid.json").read_bytes(), Limits()).reports
    assert report.header.started_at == report.header.finished_at == "2026-11-09T02:11:06Z"
    (first,) = (finding for finding in report.findings if finding.id == "mount:tmp-noexec-missing:/tmp")
    assert first.metadata["options"] == "rw,relatime,size=8192k,inode64"
    assert any(finding.metadata.get("command") == "bot\\" for finding in report.findings)


def test_a_name_that_is_not_text_is_kept_to_the_byte() -> None:
    (report,) = read_document((MALFORMED / "real-invalid-utf8.json").read_bytes(), Limits()).reports
    names = {
        finding.id: finding.metadata["command"] for finding in report.findings if "metadata.command" in finding.escaped
    }
    assert names["/usr/bin/sleep:576"] == "bot\\xff\\xfe"
    assert names["/usr/bin/sleep:577"].endswith("\u00e9\\xc3")


def test_no_text_of_a_log_line_or_remains_reaches_a_finding() -> None:
    (report,) = read_document((MALFORMED / "overwritten-tail.json").read_bytes(), Limits()).reports
    (clean,) = read_document((MALFORMED.parent / "web01-audit-partial.json").read_bytes(), Limits()).reports
    assert report == clean


if __name__ == "__main__":
    DOC.parent.mkdir(exist_ok=True)
    DOC.write_text(render())
