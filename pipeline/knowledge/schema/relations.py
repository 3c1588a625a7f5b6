"""Rules over selections of findings: known errors of the scanner, and correlations."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from pipeline.finding import Level
from pipeline.knowledge.schema.fact import Degree, Fact, Id, Predicate


class Artefact(Fact):
    """A known error of the scanner.

    It applies to findings of `classes` for which all of `when` hold. `forgeable`: anyone who can name a file or a
    process can fake its signs, so it never lowers an IOC below medium.
    """

    classes: list[Id]
    when: list[Predicate] = []
    degree: Degree
    why: str
    check: str
    forgeable: bool = False
    source: str = "scanner defect, sys-scan 6.0.0"


class Selection(Fact):
    """A selection of findings: of one of `classes`, with all of `when`.

    `credible` leaves out findings that are certainly or likely errors of the scanner, by the artefacts.
    """

    classes: list[Id]
    when: list[Predicate] = []
    credible: bool = False


class CorrelationMember(Selection):
    """One member of a correlation: the findings selected by its own fields, by one of `or`, or by a named selection.

    `use` names entries of `selections`. `min` counts distinct findings; with 0 the rule also holds without them, and
    lists them if there are any.
    """

    classes: list[Id] = []
    or_: list[Selection] = Field(default=[], alias="or")
    use: list[Id] = []
    min: int = Field(default=1, ge=0)

    def alternatives(self, named: Mapping[str, list[Selection]]) -> list[Selection]:
        """Return all selections by which a finding takes part.

        Raises:
            KeyError: if `use` names one that is not there.
        """
        own: list[Selection] = [self] if self.classes else []
        return [*own, *self.or_, *(selection for name in self.use for selection in named[name])]


class Join(Fact):
    """A condition on the values of two members, compared after `transform`.

    A value is ``MEMBER.slot.NAME`` or ``MEMBER.feature.NAME``; ``A|B`` takes the first that the finding has.
    `relation`: the values are ``equal``, or the left path is ``below`` the right one or the same; of several
    directories the deepest counts. `transform`: ``same_file`` is the path as a merged-/usr host has it, without the
    kernel's mark of a deleted file.
    """

    left: str
    right: str
    transform: Literal["none", "basename", "strip_deleted", "dirname", "same_file"] = "none"
    relation: Literal["equal", "below"] = "equal"


class Correlation(Fact):
    """A rule about findings, also of different scanners, that mean more together than each alone.

    `raises` is the least level of each finding of the members in `raise_members`. `why` is for people. A rule with
    joins holds once for each value of the first join; members that no join names are context, listed in part.
    """

    title: str
    why: str
    members: dict[str, CorrelationMember]
    joins: list[Join] = []
    absent: list[CorrelationMember] = []
    raises: Level | None = None
    raise_members: list[str] = []
    techniques: list[str] = []
    first: str = ""  # what to do first, one sentence
