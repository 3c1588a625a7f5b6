"""Sentences that all forms of a plan have."""

from collections.abc import Iterator, Sequence

from pipeline.output.plan.steps import Aside, Plan


def heading(plan: Plan) -> Iterator[str]:
    """Say what the plan is about and what it was made of."""
    many = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps):,} steps"
    yield f"Remediation plan for {plan.host}: {many}. Made by sysscan-agent {plan.agent}; read it before you run it."
    for scan_id, as_of in plan.scans:
        yield f"From the scan {scan_id}" + (f", as of {as_of}." if as_of else ".")
    yield from plan.missing


def left_out(plan: Plan) -> Iterator[str]:
    """Say how many findings are no part of the plan."""
    if plan.left_out:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in plan.left_out)
        yield f"Left out: {counts}."


def about(findings: int, labels: Sequence[str]) -> str:
    """Say how many findings, and what the first are about."""
    more = findings - len(labels)
    many = "1 finding" if findings == 1 else f"{findings:,} findings"
    return f"{many}: {', '.join(labels)}" + (f", and {more:,} more" if more > 0 else "")


def counted(aside: Aside) -> str:
    """Name what several findings would need; one sentence of theirs would be about one of them."""
    return f"{aside.action} for {aside.findings:,} findings" if aside.action is not None else f"such as: {aside.about}"
