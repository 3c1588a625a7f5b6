"""Why a module of the scanner failed, from the text of its exception."""

from pipeline.features.registry import FeatureContext, feature
from pipeline.knowledge.schema import Knowledge

# Messages of libstdc++ and of the C locale; in another locale the cause is ``other``.
_CAUSES = (
    ("Permission denied", "permission"),
    ("Operation not permitted", "permission"),
    ("Not a directory", "not_a_directory"),
    ("No such file or directory", "missing"),
    ("Too many levels of symbolic links", "symlink_loop"),
    ("Too many open files", "descriptors"),
    ("bad_alloc", "memory"),
    ("Cannot allocate memory", "memory"),
    ("Input/output error", "io"),
    ("stoi", "number"),
    ("stol", "number"),
    ("stoul", "number"),
    ("out_of_range", "number"),
    ("regex", "pattern"),
)


@feature
def error_cause(context: FeatureContext, message: str | None) -> str | None:
    """Return the cause that an exception's text names; ``other`` for an unknown text."""
    if message is None:
        return None
    return next((cause for words, cause in _CAUSES if words in message), "other")


@feature
def scan_user(context: FeatureContext) -> str | None:
    """Return who ran the scan: ``root`` or ``ordinary``; None where the report does not say."""
    euid = context.header.euid
    return None if euid is None else "root" if euid == "0" else "ordinary"


@feature
def known_scanner(context: FeatureContext, scanner: str | None) -> str | None:
    """Return the scanner's name if one of our classes has it, else ``other``."""
    if scanner is None:
        return None
    return scanner if scanner in _scanners(context.knowledge) else "other"


def _scanners(knowledge: Knowledge) -> set[str]:
    return {spec.scanner for spec in knowledge.classes.values()}
