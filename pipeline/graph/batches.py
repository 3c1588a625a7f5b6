"""Runs a batch through the graph, from its start or from where it was interrupted."""

from typing import Any, cast

from pipeline.graph.graph import BatchGraph
from pipeline.graph.session import ScanSession
from pipeline.graph.state import BatchState
from pipeline.output.enriched import Line


def run_batch(
    graph: BatchGraph, session: ScanSession, first: int, last: int, *, thread: str | None = None
) -> list[Line]:
    """Run a batch to the end of the graph and return its lines.

    With a `thread` the run is checkpointed after every node; a thread that was interrupted goes on at the
    node it was in. Resume looks at the pending tasks: `next` is empty too early when a step's writes were
    kept and the checkpoint after them was not.

    Raises:
        Stale: when the thread rests on what is no longer so; delete it and run the batch again.
    """
    start: BatchState = {"scan_no": session.index.context.scan_no, "first": first, "last": last}
    if thread is None:
        return session.take_lines(_state(graph.invoke(start)))
    config: Any = {"configurable": {"thread_id": thread}}
    kept = graph.get_state(config)
    if kept.created_at is None:
        return session.take_lines(_state(graph.invoke(start, config, durability="sync")))
    session.check(_state(kept.values))
    if kept.tasks:
        return session.take_lines(_state(graph.invoke(None, config, durability="sync")))
    return session.take_lines(_state(kept.values))


def _state(values: Any) -> BatchState:
    return cast(BatchState, values)
