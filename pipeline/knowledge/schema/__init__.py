"""The schema of the knowledge: of every YAML file under `data/` and in an operator's `knowledge.d`.

Each YAML file is a mapping from section names (the fields of `Knowledge`) to entries. One file may hold several
sections, and one section may be spread over several files.
"""

from pipeline.knowledge.schema.actions import Remediation
from pipeline.knowledge.schema.classes import (
    AnalysisText,
    ClassSpec,
    LevelRule,
    RemediationRef,
    RestoreCase,
    SlotSpec,
    TechniqueRef,
    TopicRef,
)
from pipeline.knowledge.schema.fact import Basis, Degree, Framework, Predicate
from pipeline.knowledge.schema.hosts import ModuleFact, PathFact, ToolFact, UnitFact
from pipeline.knowledge.schema.relations import Correlation, CorrelationMember, Join, Selection
from pipeline.knowledge.schema.sections import Knowledge
from pipeline.knowledge.schema.topics import (
    ControlRef,
    Expected,
    FrameworkFact,
    Topic,
    TopicTechnique,
)

__all__ = [
    "AnalysisText",
    "Basis",
    "ClassSpec",
    "ControlRef",
    "Correlation",
    "CorrelationMember",
    "Degree",
    "Expected",
    "Framework",
    "FrameworkFact",
    "Join",
    "Knowledge",
    "LevelRule",
    "ModuleFact",
    "PathFact",
    "Predicate",
    "Remediation",
    "RemediationRef",
    "RestoreCase",
    "Selection",
    "SlotSpec",
    "TechniqueRef",
    "ToolFact",
    "Topic",
    "TopicRef",
    "TopicTechnique",
    "UnitFact",
]
