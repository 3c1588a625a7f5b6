"""Runs a batch through the graph, from its start or from where it was interrupted."""

from typing import Any

from pipeline.graph.graph import BatchGraph


def run_batch(graph: BatchGraph, scan_no: int, first: int, last: int, *, thread: str | None = None) -> dict[str, Any]:
    """Run a batch to the end of the graph and return the final state.

    With a `thread` the run is checkpointed after every node; a thread that was interrupted goes on at the
    node it was in. Resume looks at the pending tasks: `next` is empty too early when a step's writes were
    kept and the checkpoint after them was not.
    """
    start = {"scan_no": scan_no, "first": first, "last": last}
    if thread is None:
        final: dict[str, Any] = graph.invoke(start)
        return final
    config: Any = {"configurable": {"thread_id": thread}}
    state = graph.get_state(config)
    if state.created_at is None:
        return dict(graph.invoke(start, config, durability="sync"))
    if not state.tasks:
        return dict(state.values)
    return dict(graph.invoke(None, config, durability="sync"))
