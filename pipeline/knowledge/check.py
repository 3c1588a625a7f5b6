"""Checks references between entries of the knowledge; `schema` checks each entry by itself."""

import re
from collections.abc import Collection, Iterator, Sequence

from pipeline.knowledge.schema import ClassSpec, Correlation, Knowledge, Predicate, Selection

Problem = tuple[tuple[str, ...], str]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_JOIN_SIDE = re.compile(r"(?P<member>[^.]+)\.(?P<scope>slot|feature)\.(?P<names>[A-Za-z0-9_]+(?:\|[A-Za-z0-9_]+)*)")


def broken_references(knowledge: Knowledge, features: Collection[str]) -> Iterator[Problem]:
    """Yield the place and the reason of every reference to something that does not exist.

    Args:
        features: names of all feature functions.
    """
    for class_id, spec in knowledge.classes.items():
        for loc, reason in _class_problems(knowledge, spec, features):
            yield ("classes", class_id, *loc), reason
    for key, artefact in knowledge.artefacts.items():
        yield from _classes_exist(knowledge, artefact.classes, ("artefacts", key, "classes"))
        yield from _predicates(knowledge, artefact.when, ("artefacts", key, "when"))
    for key, selections in knowledge.selections.items():
        yield from _selection_problems(knowledge, selections, ("selections", key))
    for key, rule in knowledge.correlations.items():
        for loc, reason in _correlation_problems(knowledge, rule):
            yield ("correlations", key, *loc), reason
    for key, topic in knowledge.topics.items():
        if topic.expected is not None and topic.expected not in knowledge.expected:
            yield ("topics", key, "expected"), f"no such expected value: {topic.expected}"
    for key in knowledge.aliases:
        if key not in knowledge.topics:
            yield ("aliases", key), "no such topic"
    for key, entry in knowledge.expected.items():
        if "default" not in entry.accepted or "default" not in entry.preferred:
            yield ("expected", key), "needs accepted.default and preferred.default"
    for key, action in knowledge.remediations.items():
        for text in (action.summary, action.command, action.check, action.rollback):
            for name in _PLACEHOLDER.findall(text or ""):
                if re.fullmatch(r"[a-z_]+", name) and name not in action.params:
                    yield ("remediations", key), f"{{{name}}} is not one of params"
    for key, unit in knowledge.units.items():
        if unit.role not in knowledge.roles:
            yield ("units", key, "role"), f"no such role: {unit.role}"
    for key, module in knowledge.modules.items():
        if module.family not in knowledge.families:
            yield ("modules", key, "family"), f"no such family: {module.family}"


def _class_problems(knowledge: Knowledge, spec: ClassSpec, features: Collection[str]) -> Iterator[Problem]:
    patterns = {}
    for name in ("id", "title", "description"):
        pattern = getattr(spec.match, name)
        if pattern is not None:
            try:
                patterns[name] = re.compile(pattern)
            except re.error as error:
                yield ("match", name), f"not a regular expression: {error}"
    for name, slot in spec.slots.items():
        if slot.source in patterns and name not in patterns[slot.source].groupindex:
            yield ("slots", name), f"the pattern of {slot.source} has no group {name!r}"
        if slot.pattern is not None:
            try:
                if name not in re.compile(slot.pattern).groupindex:
                    yield ("slots", name, "pattern"), f"has no group {name!r}"
            except re.error as error:
                yield ("slots", name, "pattern"), f"not a regular expression: {error}"
    for name, feature in spec.features.items():
        if feature.fn not in features:
            yield ("features", name, "fn"), f"no such feature function: {feature.fn}"
        for argument in feature.args:
            if argument not in spec.slots and not argument.startswith("metadata."):
                yield ("features", name, "args"), f"no such slot: {argument}"
    yield from _predicates(knowledge, spec.match.metadata, ("match", "metadata"))
    yield from _predicates(knowledge, spec.match.prefer, ("match", "prefer"))
    if spec.absence_needs is not None:
        yield from _classes_exist(knowledge, [spec.absence_needs.class_], ("absence_needs", "class"))
        yield from _predicates(knowledge, spec.absence_needs.when, ("absence_needs", "when"))
        if spec.absence != "resolved":
            yield ("absence_needs",), "means nothing where absence is not_observed anyway"
    for number, rule in enumerate(spec.status):
        yield from _predicates(knowledge, rule.when, ("status", str(number)))
    for number, level in enumerate(spec.raises):
        yield from _predicates(knowledge, level.when, ("raises", str(number)))
    for number, text in enumerate(spec.analysis):
        yield from _predicates(knowledge, text.when, ("analysis", str(number)))
        yield from _placeholders(spec, text.assessment, ("analysis", str(number), "assessment"))
        yield from _placeholders(spec, text.impact, ("analysis", str(number), "impact"))
    for number, topic in enumerate(spec.topics):
        yield from _predicates(knowledge, topic.when, ("topics", str(number)))
        if topic.topic not in knowledge.topics:
            yield ("topics", str(number), "topic"), f"no such topic: {topic.topic}"
    for number, technique in enumerate(spec.attack):
        yield from _predicates(knowledge, technique.when, ("attack", str(number)))
        if technique.technique not in knowledge.techniques:
            yield ("attack", str(number)), f"no such technique: {technique.technique}"
    for number, ref in enumerate(spec.remediation):
        where = ("remediation", str(number))
        yield from _predicates(knowledge, ref.when, where)
        action = knowledge.remediations.get(ref.use)
        if action is None:
            yield (*where, "use"), f"no such remediation: {ref.use}"
            continue
        if set(ref.with_) != set(action.params):
            yield (*where, "with"), f"{ref.use} takes {sorted(action.params)}, not {sorted(ref.with_)}"
        for template in ref.with_.values():
            for name in _PLACEHOLDER.findall(template):
                if name.startswith("expected:"):
                    if name.removeprefix("expected:") not in knowledge.expected:
                        yield (*where, "with"), f"no such expected value: {name}"
                elif name not in spec.slots:
                    yield (*where, "with"), f"no such slot: {name}"
    restored = [spec.restore.title, spec.restore.description, *spec.restore.description_by_status.values()]
    for restored_text in (*restored, *spec.restore.metadata.values()):
        yield from _placeholders(spec, restored_text or "", ("restore",))
    for name in spec.issue_by:
        if name not in spec.features:
            yield ("issue_by",), f"no such feature: {name}"
    yield from _classes_exist(knowledge, spec.overlaps, ("overlaps",))


def _selection_problems(
    knowledge: Knowledge, selections: Sequence[Selection], loc: tuple[str, ...]
) -> Iterator[Problem]:
    for selection in selections:
        yield from _classes_exist(knowledge, selection.classes, loc)
        yield from _predicates(knowledge, selection.when, (*loc, "when"))


def _correlation_problems(knowledge: Knowledge, rule: Correlation) -> Iterator[Problem]:
    selected: dict[str, list[str]] = {}
    sides = [*rule.members.items(), *((None, member) for member in rule.absent)]
    for name, member in sides:
        loc = ("absent",) if name is None else ("members", name)
        unknown = [used for used in member.use if used not in knowledge.selections]
        if unknown:
            yield (*loc, "use"), f"no such selection: {unknown[0]}"
            return
        selections = member.alternatives(knowledge.selections)
        if not selections:
            yield loc, "takes nothing: give classes, or, or use"
        elif member.when and not member.classes:
            yield (*loc, "when"), "holds for classes of its own only, and there are none"
        yield from _selection_problems(knowledge, selections, loc)
        if name is not None:
            selected[name] = [class_id for selection in selections for class_id in selection.classes]
    if any(member.min == 0 for member in rule.absent):
        yield ("absent",), "min of 0 would always hold"
    if all(member.min == 0 for member in rule.members.values()):
        yield ("members",), "at least one member must be there (min of 1 or more)"
    joined = set()
    for join in rule.joins:
        for side in (join.left, join.right):
            found = _JOIN_SIDE.fullmatch(side)
            if found is None or found["member"] not in rule.members:
                yield ("joins",), f"not MEMBER.slot.NAME or MEMBER.feature.NAME: {side}"
                continue
            joined.add(found["member"])
            names = found["names"].split("|")
            for class_id in selected[found["member"]]:
                spec = knowledge.classes.get(class_id)
                known = () if spec is None else spec.slots if found["scope"] == "slot" else spec.features
                if spec is not None and not any(name in known for name in names):
                    yield ("joins",), f"{class_id} has no such {found['scope']}: {found['names']}"
    for name in sorted(joined):
        if rule.members[name].min == 0:
            yield ("members", name, "min"), "a member that a join names cannot be optional"
    for name in rule.raise_members:
        if name not in rule.members:
            yield ("raise_members",), f"no such member: {name}"
        elif joined and name not in joined:
            yield ("raise_members",), f"{name} is context only: no join names it"
    if (rule.raises is None) != (not rule.raise_members):
        yield ("raise_members",), "raises and raise_members stand together"
    for technique in rule.techniques:
        if technique not in knowledge.techniques:
            yield ("techniques",), f"no such technique: {technique}"


def _predicates(knowledge: Knowledge, predicates: list[Predicate], loc: tuple[str, ...]) -> Iterator[Problem]:
    for predicate in predicates:
        key = predicate.accepted or predicate.not_accepted
        if key is not None and key not in knowledge.expected:
            yield loc, f"no such expected value: {key}"
        if predicate.matches is not None:
            try:
                re.compile(predicate.matches)
            except re.error as error:
                yield loc, f"not a regular expression: {error}"


def _placeholders(spec: ClassSpec, text: str, loc: tuple[str, ...]) -> Iterator[Problem]:
    for name in _PLACEHOLDER.findall(text):
        if name not in spec.slots:
            yield loc, f"no such slot: {name}"


def _classes_exist(knowledge: Knowledge, ids: list[str], loc: tuple[str, ...]) -> Iterator[Problem]:
    for class_id in ids:
        if class_id not in knowledge.classes:
            yield loc, f"no such class: {class_id}"
