"""What the knowledge's rules say of the findings of a class, with their conditions compiled."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pipeline.contract import Doc
from pipeline.finding import Level, Status
from pipeline.keys import digest
from pipeline.knowledge.predicates import Test, View, compile_all
from pipeline.knowledge.schema import ClassSpec, Degree, Knowledge, LevelRule, RemediationRef, TechniqueRef, Topic
from pipeline.remembered import Remembered
from pipeline.rules.compliance import Control, Technique, controls_for, techniques_for
from pipeline.rules.remediate import Action, render, values_of

T = TypeVar("T")
Shared = Remembered[tuple[object, ...], T]

_MAX_SHARED = 4096  # lists and actions that are remembered, of each kind; a report can make up any number of them
_DEGREES: tuple[Degree, ...] = get_args(Degree)  # surest first


@dataclass(slots=True, frozen=True)
class Artefact:
    """A known mistake of the scanner."""

    id: Annotated[str, Doc("Which one.")]
    degree: Annotated[Degree, Doc("How sure that is.")]
    why: Annotated[str, Doc("Why the scanner is wrong.")]
    check: Annotated[str, Doc("How to find out on the host.")]
    forgeable: Annotated[bool, Doc("Whether anyone who can name a file or process can make this evidence.")]
    source: Annotated[str, Doc("Where this is known from.")]


class ClassRule:
    """The conditional parts of one class, compiled."""

    def __init__(self, spec: ClassSpec | None, knowledge: Knowledge, profile: str) -> None:
        def test(when: Sequence[Any]) -> Test:
            return compile_all(when, knowledge.expected, profile)

        self._topics: list[tuple[Test, str]] = []
        self._techniques: list[tuple[Test, TechniqueRef]] = []
        self._remediation: list[tuple[Test, RemediationRef]] = []
        self._raises: list[tuple[Test, LevelRule]] = []
        if spec is not None:
            self._topics = [(test(ref.when), ref.topic) for ref in spec.topics]
            self._techniques = [(test(ref.when), ref) for ref in spec.attack]
            self._remediation = [(test(ref.when), ref) for ref in spec.remediation]
            self._raises = [(test(rule.when), rule) for rule in spec.raises]

    def topics(self, seen: View) -> list[str]:
        """Name the compliance topics that the finding is evidence for."""
        return [topic for test, topic in self._topics if test(seen)]

    def techniques(self, seen: View) -> list[TechniqueRef]:
        """List the techniques beyond those of the topics."""
        return [ref for test, ref in self._techniques if test(seen)]

    def remediation(self, seen: View) -> list[RemediationRef]:
        """List the actions that fit."""
        return [ref for test, ref in self._remediation if test(seen)]

    def raises(self, seen: View) -> list[tuple[str, Level]]:
        """List why the finding is worse than the report says, with the least level of each reason."""
        return [(rule.why, rule.level) for test, rule in self._raises if test(seen)]


class ClassRules:
    """The conditional parts of all classes, compiled when first needed; for one knowledge and profile."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self._knowledge = knowledge
        self._profile = profile
        self._classes: dict[str, ClassRule] = {}
        self._artefacts: dict[str, list[tuple[Artefact, Test]]] | None = None
        self._controls: Shared[tuple[str, tuple[Control, ...]]] = Remembered(_MAX_SHARED)
        self._techniques: Shared[tuple[str, tuple[Technique, ...]]] = Remembered(_MAX_SHARED)
        self._actions: Shared[Action] = Remembered(_MAX_SHARED)

    def action(
        self, ref: RemediationRef, slots: Mapping[str, str], contraindicated: str | None, escaped: Collection[str]
    ) -> Action:
        """Fill an action in, see `render`; findings with the same values share it, and so do scans."""
        key = contraindicated, *values_of(ref, slots, escaped)
        known = self._actions.get(key)
        if known is None:
            action, expected = self._knowledge.remediations[ref.use], self._knowledge.expected
            known = render(ref, action, slots, expected, self._profile, contraindicated, escaped)
            self._actions[key] = known
        return known

    def controls(self, topics: Sequence[str], status: Status, disputed: bool) -> tuple[str, tuple[Control, ...]]:
        """List the controls of topics, see `controls_for`, with a name for the list; findings alike share it."""
        key = status, disputed, *topics
        known = self._controls.get(key)
        if known is None:
            controls = controls_for(self._of_knowledge(topics), status, disputed)
            known = self._controls[key] = digest("controls", *key), controls
        return known

    def shared_techniques(
        self, topics: Sequence[str], extra: Sequence[TechniqueRef]
    ) -> tuple[str, tuple[Technique, ...]]:
        """List the techniques of topics and of `extra`, with a name for the list; findings alike share it."""
        key = tuple(topics), tuple([(ref.technique, ref.basis) for ref in extra])
        known = self._techniques.get(key)
        if known is None:
            techniques = techniques_for(self._of_knowledge(topics), extra, self._knowledge.techniques)
            known = self._techniques[key] = digest("techniques", *key), techniques
        return known

    def _of_knowledge(self, topics: Sequence[str]) -> list[Topic]:
        return [self._knowledge.topics[name] for name in topics]

    def of(self, class_id: str) -> ClassRule:
        """Give the rules of a class; those of an unknown class are empty."""
        known = self._classes.get(class_id)
        if known is None:
            spec = self._knowledge.classes.get(class_id)
            known = self._classes[class_id] = ClassRule(spec, self._knowledge, self._profile)
        return known

    def artefacts(self, class_id: str) -> Sequence[tuple[Artefact, Test]]:
        """Give the artefacts that can apply to a class, the surest first."""
        if self._artefacts is None:
            table: dict[str, list[tuple[Artefact, Test]]] = {}
            entries = self._knowledge.artefacts.items()
            for key, entry in sorted(entries, key=lambda item: (_DEGREES.index(item[1].degree), item[0])):
                artefact = Artefact(key, entry.degree, entry.why, entry.check, entry.forgeable, entry.source)
                test = compile_all(entry.when, self._knowledge.expected, self._profile)
                for name in entry.classes:
                    table.setdefault(name, []).append((artefact, test))
            self._artefacts = table
        return self._artefacts.get(class_id, ())
