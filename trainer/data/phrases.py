"""The curated sentences that the teacher composes: read, checked, and expanded.

A text may hold ``[one|another]`` to vary, ``{slot}`` for a value that is put in later (``{slot?words}`` where the
finding may not have it), and ``<name>`` for words that a feature or a class stands for (``<name?words>``).
"""

import fnmatch
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.analysis.prompt import Case

_PHRASES = Path(__file__).parent / "phrases"
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z0-9_]+)(\?[^{}]*)?\}")
_NAME = re.compile(r"<([a-z_]+)(\?[^<>]*)?>")
_PARTS = ("what", "so", "impact")
# Names that keep their small letter at the beginning of a sentence.
_AS_WRITTEN = frozenset(
    {
        "auditctl", "crun", "dmesg", "dpkg", "getenforce", "kdump", "kexec", "mokutil", "modinfo", "nodev", "noexec",
        "nosuid",
        "passwd", "root", "rpm", "runc", "shadow", "ss", "sudo", "sysctl", "systemd", "udev",
    }
)  # fmt: skip


class BadPhrase(ValueError):
    """Raised when a file of sentences has a mistake; names file and text."""


@dataclass(slots=True, frozen=True)
class Rule:
    """Sentences for the cases of some classes with some features; the first rule that fits a case speaks."""

    of: tuple[str, ...]
    when: Mapping[str, Any]
    texts: Mapping[str, tuple[str, ...]]

    def fits(self, case: Case) -> bool:
        """Say whether the rule is about a case."""
        if not any(fnmatch.fnmatchcase(case.class_id, pattern) for pattern in self.of):
            return False
        return all(_fits(_value(case, name), wanted) for name, wanted in self.when.items())


@dataclass(slots=True)
class Material:
    """All sentences.

    Attributes:
        settled: by status that an operator set.
        doubts, mistakes, contexts: by id of an artefact or correlation; ``*`` is for all others.
        terms: for each class, words that stand for a name.
        words: for each name, what a value of the feature is called.
        feature_of: the feature behind a name, where the two differ.
    """

    rules: list[Rule] = field(default_factory=list)
    settled: dict[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mistakes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    contexts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    terms: dict[str, dict[str, str]] = field(default_factory=dict)
    words: dict[str, dict[str, str]] = field(default_factory=dict)
    feature_of: dict[str, str] = field(default_factory=dict)

    def texts(self, case: Case) -> Mapping[str, tuple[str, ...]]:
        """Find the sentences for a case.

        Raises:
            KeyError: if no rule fits; the sentences have a gap.
        """
        if case.status in self.settled:
            return self.settled[case.status]
        for rule in self.rules:
            if rule.fits(case):
                return rule.texts
        raise KeyError(f"no sentence for {case.class_id} with {case.features} ({case.status})")

    def say(self, texts: Sequence[str], case: Case, rng: random.Random | None) -> list[str]:
        """Fill texts for a case, leaving out those that need what it does not have; choices by `rng`, or all."""
        found = []
        for text in texts:
            for version in [_choose(text, rng)] if rng is not None else _expand(text):
                filled = self._fill(version, case)
                if filled is not None:
                    found.append(_begin(filled))
        return found

    def _fill(self, text: str, case: Case) -> str | None:
        missing = False

        def name(match: re.Match[str]) -> str:
            nonlocal missing
            words = self._name(match[1], case)
            if words is None and match[2] is None:
                missing = True
            return words if words is not None else (match[2] or "?")[1:]

        def slot(match: re.Match[str]) -> str:
            nonlocal missing
            if match[1] in case.placeholders:
                return f"{{{match[1]}}}"
            if match[2] is None:
                missing = True
                return ""
            return match[2][1:]

        filled = _SLOT.sub(slot, _NAME.sub(name, text))
        return None if missing else filled

    def _name(self, name: str, case: Case) -> str | None:
        term = self.terms.get(case.class_id, {}).get(name)
        if term is not None:
            return term
        value = case.features.get(self.feature_of.get(name, name))
        if value is None:
            return None
        words = self.words.get(name, {})
        if value in words:
            return words[value]
        return None if name in self.feature_of else value.replace("_", " ")


def load_material(directory: Path = _PHRASES) -> Material:
    """Read all files of sentences, in the order of their names.

    Raises:
        BadPhrase: if one has a mistake.
    """
    material = Material()
    for path in sorted(directory.glob("*.yaml")):
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in content.pop("said", []):
            texts = {part: _texts(entry[part], path) for part in _PARTS}
            material.rules.append(Rule(tuple(entry["of"]), entry.get("when", {}), texts))
        for status, parts in content.pop("settled", {}).items():
            material.settled[status] = {part: _texts(parts[part], path) for part in _PARTS}
        for table in ("doubts", "mistakes", "contexts"):
            getattr(material, table).update({key: _texts(texts, path) for key, texts in content.pop(table, {}).items()})
        for class_id, terms in content.pop("terms", {}).items():
            material.terms.setdefault(class_id, {}).update({name: str(text) for name, text in terms.items()})
        for name, words in content.pop("words", {}).items():
            material.words.setdefault(name, {}).update({str(value): str(text) for value, text in words.items()})
        material.feature_of.update(content.pop("from", {}))
        if content:
            raise BadPhrase(f"{path.name}: unknown section {next(iter(content))}")
    return material


def _texts(texts: Any, path: Path) -> tuple[str, ...]:
    """Check that each text is a sentence; a comma in a YAML list that was not quoted cuts one in two."""
    if not isinstance(texts, list) or not texts:
        raise BadPhrase(f"{path.name}: not a list of sentences: {texts!r}")
    for text in texts:
        if not isinstance(text, str):
            raise BadPhrase(f"{path.name}: not a text: {text!r}")
        if not all(version.endswith((".", ">")) and "  " not in version for version in _expand(text)):
            raise BadPhrase(f"{path.name}: no whole sentence: {text!r}")
        if not text.isascii() or '"' in text or "\\" in text:
            raise BadPhrase(f"{path.name}: a character that an answer cannot hold: {text!r}")
    return tuple(texts)


def _begin(text: str) -> str:
    word = text.split(" ", 1)[0].rstrip(",;.")
    plain = word.isalpha() and word.islower() and word not in _AS_WRITTEN
    return text[:1].upper() + text[1:] if plain else text


def _value(case: Case, name: str) -> str | None:
    if name == "status":
        return case.status
    if name == "artefact":
        return case.artefact[0] if case.artefact is not None else None
    if name == "degree":
        return case.artefact[1] if case.artefact is not None else None
    return case.features.get(name)


def _fits(value: str | None, wanted: Any) -> bool:
    """Compare: a list holds any of its values, null is absence, ``*`` presence, ``~word`` a part joined by ``+``."""
    if isinstance(wanted, list):
        return any(_fits(value, one) for one in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if wanted == "*":
        return True
    return wanted[1:] in value.split("+") if wanted.startswith("~") else value == wanted


def _choose(text: str, rng: random.Random) -> str:
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)


def _expand(text: str) -> list[str]:
    match = _CHOICE.search(text)
    if match is None:
        return [text]
    return [
        version
        for option in match[1].split("|")
        for version in _expand(f"{text[: match.start()]}{option}{text[match.end() :]}")
    ]
