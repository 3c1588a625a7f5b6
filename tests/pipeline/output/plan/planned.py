"""Plans of real scans, and of actions on paths that a test chooses."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge, RemediationRef
from pipeline.output.formats.wanted import Wanted
from pipeline.output.plan.make import plans
from pipeline.output.plan.steps import Plan
from pipeline.output.records import EnrichedFinding
from pipeline.rules.remediate import render
from tests.pipeline.output.formats.exported import real_scan, scan_of, some


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


def kinds() -> dict[str, str]:
    return {name: action.kind for name, action in knowledge().remediations.items()}


def plan_of(name: str, wanted: Wanted | None = None, *included: str) -> Plan:
    """The plan of a real scan."""
    (plan,) = plans([real_scan(name)], kinds(), wanted or Wanted(), included)
    return plan


def plan_for(*findings: EnrichedFinding, included: Iterable[str] = ()) -> Plan:
    (plan,) = plans([scan_of(findings)], kinds(), Wanted(), tuple(included))
    return plan


def finding_with(action: str, params: Mapping[str, str], number: int = 0) -> EnrichedFinding:
    """An open finding whose only remedy is this action with these values, as the report has them."""
    ref = RemediationRef.model_validate({"use": action, "with": {name: f"{{{name}}}" for name in params}})
    made = render(ref, knowledge().remediations[action], params, knowledge().expected, "default", None)
    base = some()
    key = f"{number:032x}"
    slots = {"path": params["path"]} if "path" in params else dict(params)
    return replace(
        base,
        remediation=(made,),
        artefact=None,
        dedupe_key=key,
        fingerprint=key,
        slots=slots,
        analysis=replace(base.analysis, action=action),
    )
