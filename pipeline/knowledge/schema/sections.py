"""The sections that the knowledge has."""

from pipeline.knowledge.schema.actions import Look, Remediation
from pipeline.knowledge.schema.classes import ClassSpec
from pipeline.knowledge.schema.fact import Fact, Framework, Id
from pipeline.knowledge.schema.hosts import ModuleFact, PathFact, ToolFact, UnitFact, UnitRole
from pipeline.knowledge.schema.relations import Artefact, Correlation, Selection
from pipeline.knowledge.schema.topics import Expected, FrameworkFact, Topic


class Knowledge(Fact):
    """All sections of the knowledge. `digest` is computed over the canonical JSON of all others."""

    classes: dict[Id, ClassSpec] = {}
    topics: dict[Id, Topic] = {}
    frameworks: dict[Framework, FrameworkFact] = {}
    techniques: dict[str, str] = {}  # ATT&CK id → name
    expected: dict[Id, Expected] = {}
    remediations: dict[Id, Remediation] = {}
    artefacts: dict[Id, Artefact] = {}
    selections: dict[Id, list[Selection]] = {}  # shared by several correlations
    correlations: dict[Id, Correlation] = {}
    units: dict[str, UnitFact] = {}
    roles: dict[Id, UnitRole] = {}
    paths: dict[str, PathFact] = {}
    modules: dict[str, ModuleFact] = {}
    families: dict[Id, str] = {}
    tools: dict[str, ToolFact] = {}
    synonyms: dict[Id, list[str]] = {}  # words that mean nearly the same where an unknown finding is searched
    aliases: dict[Id, list[str]] = {}  # topic → how other tools and people word it
    off_topic: dict[Id, list[str]] = {}  # kind of thing → what is reported of it that no topic is about
    looks: dict[Id, Look] = {}
    digest: str = ""
