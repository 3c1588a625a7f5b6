"""How much of a stranger's input is read before it is refused."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(slots=True, frozen=True)
class Limits:
    """Bounds of one report; the largest real one (3,176 findings of a hardened host) has 1.0 MB and depth 6.

    Attributes:
        max_bytes: of decompressed data: thirty times the largest real report. Hostile data can take twenty times
            its size once parsed, so this also bounds memory.
        max_ratio: decompressed to compressed. Reports reach 40; gzip itself can reach 1,030.
        ratio_floor_bytes: below this size no ratio counts: it fits in memory whatever it came from.
        max_line_bytes: of one NDJSON line, its end not counted. The scanner's are below 4 KiB.
        max_depth: of nested objects and lists. Well under the 254 that the JSON writer can put out again.
        max_findings: of one report: sixty times the largest real one.
        max_rejects: of one document; more is no report with flaws but no report.
        max_mends: of values that the strict parser cannot read (names that are not text, NaN) in one document; each
            costs some microseconds. A host with that many odd names gets its report refused, with the reason.
        max_restarts: how often reading may start again inside a document that proved broken; each time may cost
            a pass over all the rest.
    """

    max_bytes: int = 32 * MIB
    max_ratio: int = 200
    ratio_floor_bytes: int = 16 * MIB
    max_line_bytes: int = MIB
    max_depth: int = 64
    max_findings: int = 200_000
    max_rejects: int = 10_000
    max_mends: int = 100_000
    max_restarts: int = 4


DEFAULT_LIMITS = Limits()
