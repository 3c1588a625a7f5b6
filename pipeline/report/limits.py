"""Limits on untrusted input: the section `limits` of the settings."""

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ReportError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


class Limits(BaseModel):
    """Bounds of one report; the largest real one (3,176 findings of a hardened host) has 1.0 MB and depth 6.

    They are created once, from the settings, and passed on as an argument. Each limit has bounds of its own, so that a
    value in the wrong unit cannot reject every report, and a far too large one cannot use up all memory.

    Attributes:
        max_bytes: of decompressed data: thirty times the largest real report. Hostile data can take twenty times
            its size once parsed, so this also bounds memory.
        max_ratio: decompressed to compressed. Reports reach 40; deflate cannot pass 1,032, so that switches it off
            for gzip; zstd, xz and bzip2 can.
        ratio_floor_bytes: below this size no ratio counts: it fits in memory whatever it came from.
        max_members: of one compressed file; gzip writes one, a shell that appends writes one a report.
        max_line_bytes: of one NDJSON line, its end not counted. The scanner's are below 4 KiB. Two of that size are
            held at a time.
        max_depth: of nested objects and lists. The JSON writer puts out 254 levels, and a finding stands some levels
            deeper in what is stored and written than in its report.
        max_findings: of one scan: sixty times those of the largest real one. A scan is analysed as a whole, in memory.
        max_scan_bytes: of the findings of one scan of a stream, as they are kept; what is not ASCII counts fourfold, as
            Python holds it. A stream that brings more goes on in a next scan. 64 MiB hold 200,000 findings of usual
            size, or 64 lines of the longest.
        max_rejects: of one document; with more of them it is no report. The quarantine keeps 100,000 entries.
        max_repairs: of values that the strict parser cannot read (names that are not UTF-8, NaN) in one document; each
            costs some microseconds. The report of a host with that many such names is rejected, with the reason.
        max_parser_memory: bytes that the process which reads large documents may take for one, on top of its own; None
            is 128 MiB and twelve times `max_bytes`. Real reports take seven times their size.
        max_parser_s: seconds of processor time that it may take to read one; None is 10 and half a second for each MiB
            of `max_bytes`. Real reports take a tenth of a second for each MiB, hostile ones two seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=32 * MIB, ge=64 * KIB, le=GIB)
    max_ratio: int = Field(default=200, ge=50, le=1_032)
    ratio_floor_bytes: int = Field(default=16 * MIB, ge=0, le=GIB)
    max_members: int = Field(default=10_000, ge=1, le=1_000_000)
    max_line_bytes: int = Field(default=MIB, ge=4 * KIB, le=64 * MIB)
    max_depth: int = Field(default=64, ge=8, le=200)
    max_findings: int = Field(default=200_000, ge=1, le=1_000_000)
    max_scan_bytes: int = Field(default=64 * MIB, ge=MIB, le=4 * GIB)
    max_rejects: int = Field(default=10_000, ge=1, le=100_000)
    max_repairs: int = Field(default=100_000, ge=1, le=1_000_000)
    max_parser_memory: int | None = Field(default=None, ge=64 * MIB, le=64 * GIB)
    max_parser_s: float | None = Field(default=None, ge=1, le=3_600)

    @property
    def parser_memory_bytes(self) -> int:
        """What reading one document may take of the memory of the process that reads it."""
        return 128 * MIB + 12 * self.max_bytes if self.max_parser_memory is None else self.max_parser_memory

    @property
    def parser_s(self) -> float:
        """How long reading one document may take."""
        return 10.0 + self.max_bytes / MIB / 2 if self.max_parser_s is None else self.max_parser_s


def too_large(limits: Limits) -> ReportError:
    """Return the error for input that is larger than may be read."""
    return ReportError("too_large", f"more than {limits.max_bytes} bytes; split the report or raise limits.max_bytes")


def too_many_findings(limits: Limits) -> ReportError:
    """Return the error for a report with more findings than one may have."""
    detail = f"more than {limits.max_findings} findings in one report; split it or raise limits.max_findings"
    return ReportError("too_large", detail)


def line_too_long(limits: Limits) -> str:
    """Return the reason for rejecting a line that is too long."""
    return f"longer than {limits.max_line_bytes} bytes; if it is no mistake, raise limits.max_line_bytes"
