"""What all scans share, made once at the start."""

from copy import copy

from pipeline.analysis.model import ModelAnalyst
from pipeline.analysis.question import ANALYSIS_VERSION, AnalysisStore, Analyst, Texts
from pipeline.analysis.rules import RulesAnalyst
from pipeline.classes.compiled import CompiledClasses
from pipeline.intel.match import Intel
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.output.records import Provenance
from pipeline.output.write import Parts, name_of
from pipeline.retrieval.retriever import Retriever
from pipeline.rules.class_rules import ClassRules
from pipeline.rules.correlate import Correlator
from pipeline.rules.policy import Policy


class Resources:
    """What all scans share: knowledge, policy, intelligence, the model if there is one, and the cache.

    Attributes:
        notice: why there is no model where one was wanted; for people, in one line.
        texts: whose words a finding that a model analysed gets; see `FindingWriter`.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        policy: Policy,
        intel: Intel,
        *,
        version: str,
        analyst: Analyst | None = None,
        store: AnalysisStore | None = None,
        notice: str | None = None,
        texts: Texts = "model",
    ) -> None:
        self.notice = notice
        self.texts: Texts = texts
        self.knowledge = knowledge
        self.policy = policy
        self.intel = intel
        self.analyst = analyst
        self.store = store
        self.classes = CompiledClasses(knowledge, policy.profile)
        self.rules = RulesAnalyst(knowledge, policy.profile)
        self.retriever = Retriever(knowledge)
        self.class_rules = ClassRules(knowledge, policy.profile)
        self.parts = Parts()  # of lines, as written
        self.correlator = Correlator(knowledge, policy.profile)
        self.provenance = Provenance(
            agent=version,
            knowledge=knowledge.digest,
            policy=policy.digest,
            intel=intel.digest if intel.num_indicators else None,
            runtime=digest("runtime", analyst.digest, texts) if analyst is not None else ANALYSIS_VERSION,
        )

    def with_store(self, store: AnalysisStore) -> "Resources":
        """Give the same over another cache: shards share a model, and each keeps the answers where its scans are."""
        own = copy(self)
        own.store = store
        return own

    def shares_model(self, other: "Resources") -> bool:
        """Say whether closing the other would take the model away from this one."""
        return isinstance(self.analyst, ModelAnalyst) and self.analyst.shares_with(other.analyst)

    @property
    def digest(self) -> str:
        """Name everything that an output depends on beside its report; a thread of the graph is bound to it."""
        return name_of(self.provenance)

    def close(self) -> None:
        """Give the memory of the model back; it cannot be asked afterwards."""
        if self.analyst is not None:
            self.analyst.close()
