"""Counters as a Prometheus textfile, for node_exporter's textfile collector."""

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_NAMESPACE = "sysscan_agent"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(slots=True)
class Metric:
    """One metric family; samples are kept by their labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def set(self, value: float, **labels: str) -> None:
        """Set a sample."""
        self.samples[tuple(sorted(labels.items()))] = value

    def add(self, value: float, **labels: str) -> None:
        """Add to a sample."""
        key = tuple(sorted(labels.items()))
        self.samples[key] = self.samples.get(key, 0) + value


class Metrics:
    """All metrics of the daemon."""

    def __init__(self) -> None:
        self._families: list[Metric] = []
        self.bytes_read = self._new("read_bytes_total", "counter", "Bytes read from reports.")
        self.scans = self._new("scans_total", "counter", "Scans taken in, by outcome.")
        self.parsed = self._new("findings_parsed_total", "counter", "Findings admitted to the ledger.")
        self.redelivered = self._new(
            "findings_deduplicated_total", "counter", "Findings of scans that were delivered before."
        )
        self.quarantined = self._new("quarantined_total", "counter", "Pieces of input that could not be used.")
        self.analysed = self._new("findings_analysed_total", "counter", "Findings analysed, by origin.")
        self.at_stake = self._new("findings_at_stake", "gauge", "Findings at stake in the newest scans, by level.")
        self.found = self._new("findings", "gauge", "Findings of the newest scans, by status.")
        self.scopes = self._new("scopes", "gauge", "Hosts, each with what a scan of it covers, that have been scanned.")
        self.last_scan = self._new(
            "last_scan_timestamp_seconds",
            "gauge",
            "When the newest scan was finished with; of all, and of the one that has had none for longest.",
        )
        self.model = self._new("model_in_use", "gauge", "1 where a model is asked, 0 where only the rules are.")
        self.model_info = self._new("model_info", "gauge", "1, with the name of the model that is asked.")
        self.model_running = self._new("model_running", "gauge", "1 while the model's process runs.")
        self.model_refused = self._new("model_refused", "gauge", "1 while the rules answer for a model that failed.")
        self.model_deaths = self._new("model_deaths_total", "counter", "Times that the model's process died.")
        self.delivered = self._new("records_delivered_total", "counter", "Records made durable, by sink.")
        self.sink_failing = self._new("sink_failing", "gauge", "1 while the last attempt of a sink failed.")
        self.sink_faults = self._new("sink_faults_total", "counter", "Attempts of a sink that failed.")
        self.backlog = self._new("backlog", "gauge", "Findings or records that wait, by stage.")
        self.aside = self._new("scans_set_aside", "gauge", "Scans that wait until a person has them tried again.")
        self.behind = self._new("behind_seconds", "gauge", "Age of the oldest work that waits, in seconds.")
        self.healthy = self._new("healthy", "gauge", "1 while every directory is watched.")
        self.lag = self._new("kafka_lag_records", "gauge", "Records that are not read, or not delivered, by partition.")
        self.acquisitions = self._new("kafka_acquisitions_total", "counter", "Times a partition was acquired, by kind.")
        self.fenced = self._new("kafka_fenced_total", "counter", "Transactions that another worker's claim ended.")
        self.transactions = self._new("kafka_transactions_total", "counter", "Transactions committed.")
        self.transaction_s = self._new("kafka_transaction_seconds_total", "counter", "Time that transactions took.")
        self.letters = self._new("kafka_dead_letters_total", "counter", "Records sent on because they are of no use.")
        self.gaps = self._new("kafka_gaps_total", "counter", "Times that records were gone before they were read.")
        self.strange = self._new(
            "kafka_strange_verdicts", "gauge", "Records in the topic of verdicts that are none, and do not count."
        )
        self.paused_s = self._new("kafka_paused_seconds_total", "counter", "Time in which nothing was read on purpose.")
        self.overflows = self._new("watch_overflows_total", "counter", "Times that the kernel dropped watch events.")
        self.log_dropped = self._new(
            "log_lines_dropped_total", "counter", "Lines of the log that nobody could be given."
        )

    def _new(self, name: str, kind: Literal["counter", "gauge"], text: str) -> Metric:
        family = Metric(f"{_NAMESPACE}_{name}", kind, text)
        self._families.append(family)
        return family

    def render(self) -> str:
        """Write all families in the text exposition format."""
        return render(self._families)

    def write(self, path: Path) -> None:
        """Replace the file as a whole, so that no scrape sees half of it.

        Raises:
            OSError: when it cannot be written.
        """
        if path.exists() and not path.is_file():  # a device such as /dev/null must not give way to a file
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        temporary = path.with_name(f".{path.name}.tmp")  # the collector ignores names without .prom
        # The directory may be one that others write to: nothing that lies there is followed or kept.
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(self.render())
            file.flush()
            os.fchmod(file.fileno(), 0o644)
        temporary.replace(path)


def render(families: Iterable[Metric]) -> str:
    """Write families in the text exposition format."""
    return "".join(_lines(families))


def _lines(families: Iterable[Metric]) -> Iterable[str]:
    for family in families:
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        samples: Mapping[tuple[tuple[str, str], ...], float] = family.samples or {(): 0.0}
        for labels, value in sorted(samples.items()):
            inner = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels)
            yield f"{family.name}{{{inner}}} {_number(value)}\n" if inner else f"{family.name} {_number(value)}\n"


def _number(value: float) -> str:
    """Write all digits: a counter that is rounded stands still between scrapes."""
    return str(int(value)) if value == int(value) else repr(value)
