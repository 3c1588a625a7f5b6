"""Package verification: what a line of `dpkg -V` or `rpm -V` reports, and for what kind of file."""

import re

from pipeline.features.registry import FeatureContext, feature

_MISSING = re.compile(r"\Amissing\s+(?:(?P<kind>[a-z])\s+)?/")
_FLAGS = re.compile(r"\A(?P<flags>[S.?][M.?][5.?][D.?][L.?][U.?][G.?][T.?][P.?]?)\s+(?:(?P<kind>[a-z])\s+)?/")
# The most significant first: a file whose content and time differ is reported for its content.
_DIFFERS = (("5", "content"), ("P", "capability"), ("U", "owner"), ("G", "owner"), ("M", "mode"), ("L", "link"),
            ("D", "device"), ("S", "size"), ("T", "time"))  # fmt: skip
_TOOL_MESSAGE = ("dpkg:", "dpkg-query:", "rpm:", "error:", "warning:", "prelink:")
_PLACES = (
    ("documentation", re.compile(r"/usr/(?:local/)?share/(?:doc|man|info|locale|lintian|bug|help)(?:/|\Z)")),
    ("kernel_module", re.compile(r"(?:/usr)?/lib/modules/")),
    ("boot", re.compile(r"/boot/")),
    ("program", re.compile(r"(?:/usr(?:/local)?)?/s?bin/|/usr/libexec/|/opt/[^/]+/s?bin/")),
    ("unit", re.compile(r"(?:/usr/lib|/lib|/etc)/systemd/")),
    ("authentication", re.compile(r"/etc/(?:pam\.d|security|sudoers|ssh|shadow|passwd|login\.defs)")),
    ("authentication", re.compile(r"(?:/usr)?/lib(?:/[^/]+)?/security/pam_")),
    ("library", re.compile(r"(?:/usr)?/lib(?:32|64|x32)?/")),
    ("configuration", re.compile(r"/etc/")),
    ("data", re.compile(r"/usr/(?:share|include|src)/|/srv/|/opt/")),
    ("state", re.compile(r"/var/")),
)  # fmt: skip


@feature
def package_deviation(context: FeatureContext, raw: str | None) -> str | None:
    """Return how a packaged file differs, from the verifier's line; ``_config`` where it is a configuration file.

    ``missing``, ``unreadable`` (the verifier was not allowed to look), ``content``, ``capability``, ``owner``,
    ``mode``, ``link``, ``device``, ``size``, ``time``; and lines that are about no file: ``not_installed``,
    ``dependency``, ``tool_message``; else ``other``. None without metadata.
    """
    if raw is None:
        return None
    if raw.endswith("(Permission denied)"):
        return "unreadable"
    found = _MISSING.match(raw)
    if found is not None:
        return "missing_config" if found["kind"] == "c" else "missing"
    found = _FLAGS.match(raw)
    if found is not None:
        word = next((word for flag, word in _DIFFERS if flag in found["flags"]), "other")
        return f"{word}_config" if found["kind"] == "c" and word != "other" else word
    return _about_no_file(raw) or "other"


@feature
def package_place(context: FeatureContext, path: str | None) -> str | None:
    """Return the kind of a packaged file, by its path: ``program``, ``library``, ``documentation``, ..."""
    if path is None:
        return None
    return next((place for place, pattern in _PLACES if pattern.match(path)), "other")


@feature
def mismatch_sample(
    context: FeatureContext, count: str | None, sample: str | None, stop_at: str | None = None
) -> str | None:
    """Return ``messages`` if all mismatches of a summary are messages of the tool, else ``files``.

    The summary has the first forty characters of ten lines; further lines are assumed to be files. ``_stopped`` where
    the scanner was told to stop at that many mismatches: then the rest was not verified, and nothing is known of it.
    """
    if count is None or count == "0":
        return None
    stopped = "_stopped" if _reached(count, stop_at) else ""
    lines = sample.split(",") if sample else []
    whole = count.isascii() and count.isdigit() and len(count) < 10 and len(lines) == int(count)
    found = "messages" if whole and all(_about_no_file(line) for line in lines) else "files"
    return found + stopped


@feature
def package_tool(context: FeatureContext, tool: str | None) -> str | None:
    """Return the name of the verifying tool; None where it is not known."""
    return tool if tool in ("dpkg", "rpm", "none") else None


@feature
def ima_state(context: FeatureContext, entries: str | None, failures: str | None) -> str | None:
    """Return the state of the IMA measurement list.

    ``word_fail`` (lines contain the word "fail", in file names: the list has no verdicts), ``empty``, ``boot_only``
    (no measurement policy), ``measuring``; None where the list was not read.
    """
    if entries is None:
        return None
    if failures not in (None, "0"):
        return "word_fail"
    return {"0": "empty", "1": "boot_only"}.get(entries, "measuring")


def _reached(count: str, stop_at: str | None) -> bool:
    """Say whether verification stopped early; where the numbers cannot be read, it may have."""
    if stop_at is None or stop_at == "0":
        return False
    try:
        return int(count[:20]) >= int(stop_at[:20])
    except ValueError:
        return True


def _about_no_file(line: str) -> str | None:
    if re.match(r"(?:dpkg: )?package \S+ is not installed", line):
        return "not_installed"
    if line.startswith("Unsatisfied dependencies"):
        return "dependency"
    # A summary cuts lines to forty characters, which may cut "is not installed".
    return "tool_message" if line.startswith(_TOOL_MESSAGE) else None
