"""The view as Prometheus metrics; no host has one of its own, so that their number does not grow with the fleet."""

from collections.abc import Mapping

from daemon.fleet.fleet import View
from daemon.fleet.keeper import Keeper
from daemon.fleet.scan import REASONS
from daemon.metrics import Metric, render
from pipeline.finding import LEVELS

_PREFIX = "sysscan_fleet_"


def metrics(view: View, keeper: Keeper, lags: Mapping[int, int], still_s: float, unread: int) -> str:
    """Write all metrics.

    Args:
        lags: by partition that is read here: the records that can be read and were not taken.
        still_s: for how long nothing has moved although there is something to read.
        unread: rows of an earlier run that could not be read back.
    """
    hosts = Metric(f"{_PREFIX}hosts", "gauge", "Hosts that are known, by whether they were heard of lately.")
    hosts.set(len(view.hosts) - len(view.silent), state="heard")
    hosts.set(len(view.silent), state="silent")
    worst = Metric(f"{_PREFIX}hosts_worst", "gauge", "Hosts by the level of their worst finding at stake.")
    found = Metric(f"{_PREFIX}findings", "gauge", "Different findings at stake on all hosts, by level.")
    for rank, level in enumerate(LEVELS):
        worst.set(sum(1 for one in view.hosts if one.counts[rank] and not any(one.counts[rank + 1 :])), level=level)
        found.set(sum(one.counts[rank] for one in view.hosts), level=level)
    situations = Metric(f"{_PREFIX}situations", "gauge", "Different situations that are open somewhere.")
    situations.set(len(view.situations))
    fresh = Metric(f"{_PREFIX}new_criticals", "gauge", "Critical issues that are new within fleet.window_h.")
    fresh.set(len(view.fresh))
    read = Metric(f"{_PREFIX}records_read_total", "counter", "Records read from the topic of scans, replays included.")
    read.set(keeper.read)
    unchanged = Metric(f"{_PREFIX}records_unchanged_total", "counter", "Scan records that said nothing new.")
    unchanged.set(keeper.unchanged)
    refused = Metric(f"{_PREFIX}records_refused_total", "counter", "Records that could not be used, by reason.")
    for reason in REASONS:
        refused.set(keeper.refused[reason], reason=reason)
    alerts = Metric(f"{_PREFIX}alerts_total", "counter", "Alerts published, by kind.")
    for kind in ("new_critical", "silent_host"):
        alerts.set(keeper.alerted[kind], kind=kind)
    lag = Metric(f"{_PREFIX}lag", "gauge", "Committed records of a partition that are not read yet.")
    for partition, count in lags.items():
        lag.set(count, partition=str(partition))
    partitions = Metric(f"{_PREFIX}partitions", "gauge", "Partitions that are read here.")
    partitions.set(len(lags))
    still = Metric(
        f"{_PREFIX}still_seconds", "gauge", "For how long nothing has moved although there is something to read."
    )
    still.set(round(still_s, 1))
    rows = Metric(
        f"{_PREFIX}rows_unread", "gauge", "Postures of an earlier version, which are made anew from the scans."
    )
    rows.set(unread)
    families = [
        hosts, worst, found, situations, fresh, read, unchanged, refused, alerts, partitions, still, rows,
    ]  # fmt: skip
    return render([*families, lag] if lags else families)
