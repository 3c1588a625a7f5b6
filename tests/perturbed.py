"""How many findings keep their class when a scanner words them otherwise, and how many get a wrong one.

    python -m tests.perturbed       print the figures

The labels are the classes of the findings as they are, where everything in them fits. What is done to them knows
nothing of the classes: the same functions for every finding, and chance with a fixed seed. Findings of NDJSON streams
are left out where texts are changed: they have none.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.classes.classify import Classifier
from pipeline.finding import Classified, RawFinding, ScanHeader
from pipeline.keys import canonical
from tests.pipeline.sessions import FILES, reports, resources

# Words that another author of a scanner would choose; from a dictionary, and applied to all texts alike.
_SYNONYMS = {
    "missing": "absent", "detected": "found", "found": "seen", "file": "document", "files": "documents",
    "set": "given", "not": "never", "present": "there", "enabled": "active", "disabled": "inactive",
    "loaded": "active", "binary": "program", "kernel": "core", "module": "driver", "process": "task",
    "executable": "program", "world": "everybody", "writable": "open", "has": "carries", "is": "was",
    "with": "having", "without": "lacking", "full": "complete", "status": "state", "check": "test", "no": "zero",
    "mount": "mounted volume", "expected": "wanted", "suspicious": "odd", "patterns": "signs", "should": "ought to",
    "be": "become", "directory": "folder", "anomaly": "oddity", "hardlink": "link",
}  # fmt: skip
_GERMAN = "Diese Meldung beschreibt eine Beobachtung der Pruefung"
_JAPANESE = "\u3053\u306e\u30b7\u30b9\u30c6\u30e0\u306e\u691c\u67fb\u7d50\u679c"


@dataclass(slots=True, frozen=True)
class Labelled:
    """A finding, the header of its scan, what it is without a change, and how many findings say the same."""

    raw: RawFinding
    header: ScanHeader
    known: Classified
    count: int


@dataclass(slots=True)
class Tally:
    """What became of the findings under one change.

    Attributes:
        wrong: pairs of label and class, for whoever has to mend it.
        status: findings that kept their class and got another status that claims to know.
    """

    changed: int = 0
    kept: int = 0
    doubted: int = 0
    unknown: int = 0
    wrong: Counter[tuple[str, str]] = None  # type: ignore[assignment]
    status: Counter[tuple[str, str, str]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.wrong, self.status = Counter(), Counter()


Text = Callable[[str, random.Random], str]
TEXTS: dict[str, Text] = {
    "a full stop more": lambda text, rng: text + ".",
    "upper case": lambda text, rng: text.upper(),
    "lower case": lambda text, rng: text.lower(),
    "every word with a capital": lambda text, rng: text.title(),
    "two blanks for one": lambda text, rng: text.replace(" ", "  "),
    "a word before": lambda text, rng: f"Notice: {text}",
    "words after": lambda text, rng: f"{text}, as of the last check",
    "synonyms": lambda text, rng: re.sub(r"\w+", lambda word: _SYNONYMS.get(word[0].lower(), word[0]), text),
    "words in another order": lambda text, rng: " ".join(rng.sample(text.split(" "), len(text.split(" ")))),
    "other numbers": lambda text, rng: re.sub(r"\d", lambda digit: str((int(digit[0]) + rng.randint(1, 9)) % 10), text),
    "the last word less": lambda text, rng: text.rpartition(" ")[0] or "x",
    "German": lambda text, rng: _GERMAN,
    "Japanese": lambda text, rng: _JAPANESE,
    "nothing": lambda text, rng: "",
}
IDS: dict[str, Text] = {
    "id with a prefix": lambda text, rng: f"v2:{text}",
    "id with a suffix": lambda text, rng: f"{text}:v2",
    "id in upper case": lambda text, rng: text.upper(),
    "id with other separators": lambda text, rng: text.translate(str.maketrans(":/._-", "|:-~+")),
    "id of random digits": lambda text, rng: f"{rng.getrandbits(64):016x}",
    "id of random decimals": lambda text, rng: str(rng.randint(10**5, 10**6)),
    "id with two characters exchanged": lambda text, rng: _exchanged(text, rng),
    "id without its first character": lambda text, rng: text[1:] or "x",
    "id without its last part": lambda text, rng: re.split(r"[:/.]", text[::-1], maxsplit=1)[-1][::-1] or "x",
}


def _exchanged(text: str, rng: random.Random) -> str:
    if len(text) < 2:
        return text + "x"
    at = rng.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


@lru_cache(maxsize=1)
def labelled() -> tuple[Labelled, ...]:
    """Give the different findings of all real scans whose class is certain, by format."""
    classes = resources().classes
    found: dict[bytes, Labelled] = {}
    counts: Counter[bytes] = Counter()
    for name in FILES:
        for parsed in reports(name):
            header = parsed.header
            classifier = Classifier(classes, header, "host")
            for raw in parsed.findings:
                known = classifier.classify(raw)
                if known.candidates or known.class_id.startswith("unknown.") or known.class_basis != "exact":
                    continue
                alike = canonical([raw.scanner, raw.id, raw.severity, raw.title, raw.description, raw.metadata,
                                   header.source_format, header.rules_enabled])  # fmt: skip
                found.setdefault(alike, Labelled(raw, header, known, 0))
                counts[alike] += 1
    return tuple(replace(each, count=counts[alike]) for alike, each in found.items())


def in_texts(change: Text, where: str, each: Labelled, rng: random.Random) -> RawFinding:
    """Change title, description or both."""
    raw = each.raw
    title, description = raw.title, raw.description
    if title is not None and where != "description":
        title = change(title, rng)
    if description is not None and where != "title":
        description = change(description, rng)
    return replace(raw, title=title, description=description)


def measure(make: Callable[[Labelled, random.Random], RawFinding], among: Sequence[Labelled]) -> Tally:
    """Change every finding, classify it anew, and count what became of it."""
    rng = random.Random(20)
    tally = Tally()
    classes = resources().classes
    by_header: dict[int, Classifier] = {}
    for each in among:
        changed = make(each, rng)
        if changed == each.raw:
            continue
        classifier = by_header.setdefault(id(each.header), Classifier(classes, each.header, "host"))
        found, label = classifier.classify(changed), each.known
        tally.changed += each.count
        if found.class_id == label.class_id:
            tally.kept += each.count
            if found.status not in (label.status, "unknown"):
                tally.status[label.class_id, label.status, found.status] += each.count
        elif found.candidates:
            tally.doubted += each.count
        elif found.class_id.startswith("unknown."):
            tally.unknown += each.count
        else:
            tally.wrong[label.class_id, found.class_id] += each.count
    return tally


def text_figures() -> Iterator[tuple[str, Tally]]:
    """Measure every change of texts, in title, description and both."""
    among = [each for each in labelled() if each.raw.title is not None]
    for name, change in TEXTS.items():
        for where in ("title", "description", "both"):
            yield f"{name} ({where})", measure(lambda each, rng, c=change, w=where: in_texts(c, w, each, rng), among)  # type: ignore[misc]


def id_figures(share: int = 1) -> Iterator[tuple[str, Tally]]:
    """Measure every change of ids on every `share`-th finding; those of another finding of the scan come last.

    Without the reports in which an id is all that there is: they carry no words, and rules rewrote severities.
    """
    among = [each for each in labelled() if each.header.source_format == "json" or not each.header.rules_enabled]
    among = among[::share]
    for name, change in IDS.items():
        yield name, measure(lambda each, rng, c=change: replace(each.raw, id=c(each.raw.id, rng)), among)  # type: ignore[misc]
    others: dict[tuple[int, str | None], list[Labelled]] = defaultdict(list)
    for each in among:
        others[id(each.header), each.raw.scanner].append(each)

    def other(each: Labelled, rng: random.Random) -> RawFinding:
        return rng.choice(others[id(each.header), each.raw.scanner]).raw

    worded = [each for each in among if each.raw.title is not None]
    yield "id of another finding", measure(lambda each, rng: replace(each.raw, id=other(each, rng).id), worded)

    def mixed(each: Labelled, rng: random.Random) -> RawFinding:
        one = other(each, rng)
        return replace(each.raw, title=one.title, description=one.description)

    yield "texts of another finding", measure(mixed, worded)


def main() -> None:
    """Print a table."""
    print(f"{sum(each.count for each in labelled())} findings of {len(FILES)} real scans\n")
    print(
        f"{'what is changed':44} {'changed':>8} {'kept':>8} {'in doubt':>9} {'unknown':>8} {'wrong':>6} {'status':>7}"
    )
    for figures in (text_figures, id_figures):
        for name, tally in figures():
            share = tally.kept / tally.changed if tally.changed else 1.0
            print(
                f"{name:44} {tally.changed:8} {share:8.2%} {tally.doubted:9} {tally.unknown:8} "
                f"{tally.wrong.total():6} {tally.status.total():7}"
            )
            for what, count in (*tally.wrong.most_common(4), *tally.status.most_common(4)):
                print(f"    {count:5} {' -> '.join(what)}")


if __name__ == "__main__":
    main()
