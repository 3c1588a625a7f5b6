"""Options that do not count for a report, because of what it says itself, or does not say."""

from collections.abc import Iterator

from pipeline.display import printable
from pipeline.output.records import ScanRecord


def unheeded(source: str, record: ScanRecord, host: str | None, as_of: str | None, *, recorded: bool) -> Iterator[str]:
    """Say, a line each, which options did not count for a report.

    Args:
        host: as `--host` has it, or None.
        as_of: as `--as-of` has it, or None; as the record has times.
        recorded: `--record` is there.
    """
    if recorded and record.baseline is None:
        yield f"--record: {printable(source)} does not say of which host it is, or how made, so it is kept nowhere"
    if host is not None:
        yield from unheeded_host(source, record.host if record.host_source == "report" else host, host)
    if as_of is not None and record.as_of != as_of:
        yield (
            f"--as-of {as_of}: {printable(source)} says when it was made, {printable(record.as_of)}, and that counts; "
            f"{as_of} is taken for when it came in, by which acceptances end, too"
        )


def unheeded_host(source: str, named: str, host: str) -> Iterator[str]:
    """Say that a report is of the host that it names, where that is another one than `--host` says."""
    if named != host:
        yield f"--host {printable(host)}: {printable(source)} names its host, {printable(named)}, and that counts"
