"""What of a report could not be used, where and why, and what to do about it."""

from collections.abc import Mapping
from typing import Final

from daemon.cli.exporting.saved import STANDARD_INPUT, is_ours
from daemon.one_shot import Refused
from pipeline.display import printable
from pipeline.errors import QuarantineReason
from pipeline.report.sequence import NO_REPORT

# Where the detail does not say it. What is wrong within a report is the scanner's, and the rest of it is used.
ADVICE: Final[Mapping[QuarantineReason, str]] = {
    "corrupt_gzip": "it was damaged on its way; copy it again",
    "empty": "the scan may have failed; run it again",
    "log_line": "write the scanner's log elsewhere, with 2>",
    "not_regular": "name a file, or - for standard input",
    "truncated": "the scan or the copy ended early; run it again",
    "truncated_gzip": "the copy ended early; copy it again",
}


def refusal(refused: Refused) -> str:
    """Say what of a report could not be used, where, why, and what to do."""
    reject = refused.reject
    place = "".join(
        [f" at byte {reject.offset}" if reject.offset is not None else "", f" in {reject.path}" if reject.path else ""]
    )
    said = f"{printable(refused.source)}: {reject.reason}{place}: {printable(reject.detail)}"
    if reject.detail != NO_REPORT:
        return said + advice(reject.reason)
    if refused.source != STANDARD_INPUT and is_ours(refused.source):
        return f"{said}, but lines that sysscan-agent wrote; `export`, `remediate` and `show --from` read them"
    return f"{said}; needed is what sys-scan writes: JSON, NDJSON or SARIF"


def advice(reason: QuarantineReason) -> str:
    """Say what to do about it, to be put behind the reason; empty where nothing general can be said."""
    return f"; {ADVICE[reason]}" if reason in ADVICE else ""
