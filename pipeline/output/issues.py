"""Where the commands take the issues of a scan from."""

from pipeline.output.records import Issue, ScanRecord


def issues_of(record: ScanRecord) -> tuple[Issue, ...]:
    """Give the issues of a scan, the worst first."""
    return record.issues
