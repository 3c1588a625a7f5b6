"""What frameworks ask for: topics with their controls and techniques, and the values of a setting that they accept."""

from pipeline.knowledge.schema.fact import Basis, Fact, Framework


class ControlRef(Fact):
    """One control of one framework that a topic maps to, with its title and the source of the mapping.

    `core`: stated by at least two independent sources. `caution`: why the mapping looks wrong; such entries are
    marked and come last.
    """

    framework: Framework
    control: str
    title: str
    basis: Basis
    source: str
    core: bool = False
    caution: str | None = None


class TopicTechnique(Fact):
    technique: str
    name: str
    basis: Basis
    source: str


class Topic(Fact):
    """A setting or condition, with the controls and techniques that it maps to."""

    title: str
    controls: list[ControlRef] = []
    techniques: list[TopicTechnique] = []
    expected: str | None = None
    notes: list[str] = []


class FrameworkFact(Fact):
    """A framework: name, version, licence note, and id → title of the controls that topics name.

    `total`: how many controls the whole framework has, groups (families, categories, x.y requirements) not counted.
    `groups`: id → title of the headings over those controls; a group that a source cites itself is in both.
    """

    title: str
    version: str
    licence: str
    controls: dict[str, str]
    total: int = 0
    groups: dict[str, str] = {}


class Expected(Fact):
    """The acceptable values of a setting, by policy profile, because frameworks disagree.

    `accepted` and `preferred` have at least the key ``default``; other profiles (``strict``, ``cis``) fall back to
    it. `sources` names who asks for which value.
    """

    accepted: dict[str, list[str]]
    preferred: dict[str, str]
    sources: dict[str, str]
    note: str | None = None
