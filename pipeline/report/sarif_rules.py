"""What a SARIF result leaves to its rule: id, level, text and taxa (SARIF 2.1.0, 3.19, 3.27, 3.49 to 3.52)."""

import re
from typing import Any

from pipeline.errors import ReportError
from pipeline.report.limits import Limits

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([0-9]{1,6})\}")
_TECHNIQUE = re.compile(r"T[0-9]{4}(?:\.[0-9]{3})?\Z")
_TECHNIQUES_OF_A_RULE = 32


class RunRules:
    """The rules of one run: of its driver, and of the extensions that came with it.

    A rule is told by index and id together; where they contradict each other, the id counts. No type is trusted.

    Attributes:
        budget: bytes that may still be made of rules. One rule serves many results, so its texts are multiplied.
    """

    def __init__(self, run: dict[str, Any], limits: Limits) -> None:
        tool = _object(run.get("tool"))
        # The driver, and its extensions: what has a number here is told by it.
        self._components = [_object(tool.get("driver")), *map(_object, _list(tool.get("extensions")))]
        self._taxonomies = [_object(one) for one in _list(run.get("taxonomies"))]
        self._invocations = [_object(one) for one in _list(run.get("invocations"))]
        self._by_id: dict[int, dict[str, int]] = {}
        self._overrides: dict[int, dict[str, str]] = {}
        self._techniques: dict[tuple[int, int], tuple[str, ...]] = {}
        self._limits = limits
        self.budget = limits.max_bytes

    def find(self, result: dict[str, Any]) -> "Rule":
        """Return the rule of a result; an empty one where there is none."""
        reference = _object(result.get("rule"))
        component = self._component(reference.get("toolComponent"))
        rules = self._rules(component)
        index = result.get("ruleIndex") if reference.get("index") is None else reference["index"]
        named = result.get("ruleId")
        if named is None:
            named = reference.get("id")
        listed = _at(rules, index)
        agree = named is None or listed.get("id") is None or _same_rule(listed["id"], named)
        place = (component, index) if listed and agree and type(index) is int else None
        if place is None and type(named) is str:
            place = self._named(named, component)
        if place is None:
            return Rule(self, named, {}, self._components[component])
        return Rule(self, named, _at(self._rules(place[0]), place[1]), self._components[place[0]], place)

    def spend(self, size: int) -> None:
        """Count what is made of rules.

        Raises:
            ReportError: ``too_large``.
        """
        self.budget -= size
        if self.budget < 0:
            detail = f"what its results take from their rules is more than {self._limits.max_bytes} bytes"
            raise ReportError("too_large", f"{detail}; split it or raise limits.max_bytes")

    def override(self, result: dict[str, Any], rule: "Rule") -> str | None:
        """Return the level that the result's invocation was started with for this rule."""
        index = _object(result.get("provenance")).get("invocationIndex")
        invocation = _at(self._invocations, index)
        if not invocation or type(index) is not int:
            return None
        known = self._overrides.get(index)
        if known is None:
            known = self._overrides[index] = {}
            for entry in map(_object, _list(invocation.get("ruleConfigurationOverrides"))):
                descriptor = _object(entry.get("descriptor"))
                listed = _at(self._rules(self._component(descriptor.get("toolComponent"))), descriptor.get("index"))
                name, level = descriptor.get("id") or listed.get("id"), _object(entry.get("configuration")).get("level")
                if type(name) is str and type(level) is str:
                    known.setdefault(name, level)
        return known.get(rule.id) if rule.id is not None else None

    def techniques(self, result: dict[str, Any], rule: "Rule") -> tuple[str, ...]:
        """Return the ATT&CK techniques among the taxa of a result and of its rule."""
        known = self._techniques.get(rule.place) if rule.place is not None else ()
        if known is None:
            assert rule.place is not None
            targets = [_object(one).get("target") for one in _list(rule.fields.get("relationships"))]
            known = self._techniques[rule.place] = self._in_taxa(targets)[:_TECHNIQUES_OF_A_RULE]
        self.spend(sum(map(len, known)))
        return tuple(dict.fromkeys((*self._in_taxa(_list(result.get("taxa"))), *known)))

    def _in_taxa(self, references: list[Any]) -> tuple[str, ...]:
        found = []
        for reference in map(_object, references):
            place = _object(reference.get("toolComponent"))
            taxonomy = _at(self._taxonomies, place.get("index"))
            name = place.get("name") or taxonomy.get("name")
            identifier = reference.get("id") or _at(_list(taxonomy.get("taxa")), reference.get("index")).get("id")
            about_attack = type(name) is str and ("ATT&CK" in name.upper() or "MITRE" in name.upper())
            if about_attack and type(identifier) is str and _TECHNIQUE.match(identifier):
                found.append(identifier)
        return tuple(dict.fromkeys(found))

    def _component(self, reference: Any) -> int:
        """Give the number of the component that is meant; 0 is the driver."""
        place = _object(reference)
        index = place.get("index")
        if type(index) is int and index >= 0 and _at(self._components, index + 1):
            return index + 1
        for key in ("guid", "name"):
            wanted = place.get(key)
            if type(wanted) is str and self._components[0].get(key) != wanted:
                return next((n for n, one in enumerate(self._components) if n and one.get(key) == wanted), 0)
        return 0

    def _rules(self, component: int) -> list[Any]:
        return _list(self._components[component].get("rules"))

    def _named(self, name: str, first: int) -> tuple[int, int] | None:
        # An id may have parts behind a slash that only tell results apart (3.27.5).
        names = [name]
        while "/" in names[-1] and len(names) < 8:
            names.append(names[-1].rpartition("/")[0])
        for component in (first, *range(len(self._components[:33]))):
            table = self._by_id.get(component)
            if table is None:
                table = self._by_id[component] = {}
                for number, rule in enumerate(map(_object, self._rules(component))):
                    if type(rule.get("id")) is str:
                        table.setdefault(rule["id"], number)
            for known in names:
                if known in table:
                    return component, table[known]
        return None


class Rule:
    """One rule as a result sees it; `fields` is empty where the run has none for it, and `place` None."""

    def __init__(
        self,
        run: RunRules,
        named: Any,
        fields: dict[str, Any],
        component: dict[str, Any],
        place: tuple[int, int] | None = None,
    ) -> None:
        self._run = run
        self._component = component
        self.fields = fields
        self.place = place  # the numbers of its component and of itself in there
        self.named = named  # by the result itself, of whatever type

    @property
    def id(self) -> str | None:
        """The rule's own id."""
        value = self.fields.get("id")
        return value if type(value) is str else None

    @property
    def level(self) -> str | None:
        """The level of results that give none."""
        value = _object(self.fields.get("defaultConfiguration")).get("level")
        return value if type(value) is str else None

    def text(self, message: dict[str, Any]) -> str | None:
        """Return the text that a message without one stands for, or None."""
        name, arguments = message.get("id"), [one for one in _list(message.get("arguments")) if type(one) is str]
        strings = (_object(self.fields.get("messageStrings")), _object(self._component.get("globalMessageStrings")))
        for table in strings:
            text = _text(_object(table.get(name))) if type(name) is str else None
            if text is not None:
                return self._filled(text, arguments)
        if type(message.get("markdown")) is str:
            return self._filled(message["markdown"], arguments)
        text = _text(_object(self.fields.get("shortDescription")))
        return None if text is None else self._filled(text, [])

    def fill(self, text: str, arguments: Any) -> str:
        """Put arguments into a text that came with them."""
        return self._filled(text, [one for one in _list(arguments) if type(one) is str])

    def _filled(self, text: str, arguments: list[str]) -> str:
        self._run.spend(len(text))
        if not arguments:
            return text

        def put(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0][0]
            number = int(found[1])
            if number >= len(arguments):
                return found[0]
            self._run.spend(len(arguments[number]))
            return arguments[number]

        return _PLACEHOLDER.sub(put, text)


def _text(message: dict[str, Any]) -> str | None:
    for key in ("text", "markdown"):
        if type(message.get(key)) is str and message[key]:
            value: str = message[key]
            return value
    return None


def _same_rule(listed: Any, named: Any) -> bool:
    return listed == named or (type(named) is str and type(listed) is str and named.startswith(f"{listed}/"))


def _at(values: list[Any], index: Any) -> dict[str, Any]:
    return _object(values[index]) if type(index) is int and 0 <= index < len(values) else {}


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
