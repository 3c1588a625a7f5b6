"""Measure the daemon on findings that the model has to be asked about: line appended to enriched line durable.

    python benchmarks/novel_finding.py [--model DIRECTORY] [--findings 250] [--beside CHECKOUT]

The daemon runs as a process of its own, without the answers that the model brings along. Each finding is a scan of its
own and raises a question that was not asked before (made up as training data are, drawn evenly from the kinds of
finding); then all of them come again from other hosts, to be answered from the cache. Times end when this process
has waited for the disk as well. The first one of all also loads the model. Memory is that of the daemon and of the
model's process together.

With `--beside`, the daemon of another checkout (with a `.venv`) is asked the same, in turn; the ratios are ours to
theirs: of the percentiles, and the median of those of single findings.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import ROOT, agent, descendants, machine, resident_mb

from pipeline.features import load_features
from pipeline.graph.resources import Resources
from pipeline.intel.match import Intel
from pipeline.intel.skipped import SkipLog
from pipeline.knowledge.load import load_knowledge
from pipeline.rules.policy import Policy
from trainer.data.cases import questions
from trainer.data.world.host import make_host
from trainer.data.world.report import SOURCES

SEED = 1_000_003  # not one that data sets are made with
_TIMEOUT_S = 60.0


def novel_lines(count: int) -> list[dict[str, Any]]:
    """Make finding lines as the scanner writes them, no two with the same question, kinds of finding in turn."""
    knowledge = load_knowledge(load_features)
    resources = Resources(knowledge, Policy(), Intel("", (), (), SkipLog()), version="benchmark")
    seen: set[str] = set()
    by_class: dict[str, list[dict[str, Any]]] = {}
    for number in range(max(8, count // 20)):
        host = make_host(knowledge, SEED, number)
        for raw in (raw for source in SOURCES for raw in source(host)):
            line = {"type": "finding", "scanner": raw.scanner, "id": raw.id, "severity": raw.severity,
                    "base_severity_score": raw.points}  # fmt: skip
            for asked in questions(burst("host", line), resources):
                if asked.question.key not in seen:
                    seen.add(asked.question.key)
                    by_class.setdefault(asked.question.class_id, []).append(line)
    longest = max(len(lines) for lines in by_class.values())
    in_turn = [lines[place] for place in range(longest) for lines in by_class.values() if place < len(lines)]
    if len(in_turn) < count:
        raise SystemExit(f"only {len(in_turn)} different findings; ask for no more")
    return in_turn[:count]


def burst(host: str, line: dict[str, Any]) -> bytes:
    """Give a scan of one finding, as the scanner writes it to a stream."""
    meta = {"type": "meta", "tool_version": "6.0.0", "schema": "2", "hostname": host, "cmdline": "sys-scan --ndjson "}
    summary = {"type": "summary", "finding_count_emitted": 1, "finding_count_total": 1}
    return b"".join(json.dumps(one).encode() + b"\n" for one in (meta, summary, line))


class Feed:
    """A daemon, the stream that it follows, and what it writes."""

    def __init__(self, place: Path, model: Path | None, checkout: Path = ROOT) -> None:
        inbox = place / "in"
        inbox.mkdir(parents=True)
        self._output = place / "out.ndjson"
        self._offset = 0
        environment = {**os.environ, "SYSSCAN_MODEL__SHIPPED": "false", "SYSSCAN_LOG__FORMAT": "json"}
        if model is not None:
            environment["SYSSCAN_MODEL__PATH"] = str(model.resolve())
        self._daemon = subprocess.Popen(
            agent("--watch", str(inbox), "--state-dir", f"{place}/state", "-o", str(self._output), checkout=checkout),
            cwd=checkout, env=environment, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._daemon.stderr is not None
        said = b""
        for line in self._daemon.stderr:
            said = line
            if b"service.ready" in line:
                break
        else:
            raise SystemExit(f"the daemon did not start: {said.decode().strip()}")
        os.set_blocking(self._daemon.stderr.fileno(), False)
        self._stream = (inbox / "stream.ndjson").open("ab", buffering=0)

    def ask(self, host: str, line: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Append a finding; gives the milliseconds until its enriched line is on disk, and that line."""
        started = time.perf_counter()
        self._stream.write(burst(host, line))
        while (enriched := self._finding()) is None:
            if time.perf_counter() - started > _TIMEOUT_S:
                raise SystemExit(f"no line for {line} after {_TIMEOUT_S} s")
            time.sleep(0.0005)
        with self._output.open("rb") as file:
            os.fsync(file.fileno())
        took = (time.perf_counter() - started) * 1000
        assert self._daemon.stderr is not None
        self._daemon.stderr.read()  # or its pipe fills up
        return took, enriched

    def _finding(self) -> dict[str, Any] | None:
        if not self._output.exists() or self._output.stat().st_size == self._offset:
            return None
        found = None
        with self._output.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                body: dict[str, Any] = json.loads(line)
                if "analysis" in body:
                    found = body
        return found

    def resident_mb(self) -> tuple[float, float]:
        """Say what the daemon and the model's process hold now, and what they held at most."""
        held = [resident_mb(pid) for pid in (self._daemon.pid, *descendants(self._daemon.pid))]
        return sum(now for now, _ in held), sum(most for _, most in held)

    def close(self) -> None:
        """Stop the daemon."""
        self._stream.close()
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="model directory; default: the one that comes with the program")
    parser.add_argument("--findings", type=int, default=250)
    parser.add_argument("--beside", type=Path, help="another checkout, with a `.venv`, to ask in turn with this one")
    arguments = parser.parse_args()
    lines = novel_lines(arguments.findings)
    print(f"{machine()}\n{len(lines)} findings, one at a time; ms from a line appended to its enriched line durable\n")
    print(f"{'':<10}{'p50':>8}{'p90':>8}{'p95':>8}{'p99':>8}{'max':>8}{'first':>8}  lines by the model", flush=True)
    with tempfile.TemporaryDirectory() as place:
        feeds = [Feed(Path(place) / "ours", arguments.model)]
        if arguments.beside is not None:
            feeds.append(Feed(Path(place) / "theirs", arguments.model, arguments.beside.resolve()))
        for name in ("novel", "again"):
            asked = list(_pass(feeds, name, lines))
            for which in range(len(feeds)):
                took, bodies = zip(*(answers[which] for answers in asked), strict=True)
                _print(name if not which else "  beside", took, bodies)
            if len(feeds) > 1:
                _compare(*([answers[which][0] for answers in asked] for which in (0, 1)))
        held = [feed.resident_mb() for feed in feeds]
        for feed in feeds:
            feed.close()
    for name, (now, most) in zip(("", " beside"), held, strict=False):
        print(f"resident memory of the daemon{name}: {now:.0f} MB at the end, {most:.0f} MB at most")


def _pass(
    feeds: Sequence[Feed], name: str, lines: Sequence[dict[str, Any]]
) -> Iterator[list[tuple[float, dict[str, Any]]]]:
    """Ask all daemons about each finding, another one first each time."""
    for number, line in enumerate(lines):
        answers: dict[int, tuple[float, dict[str, Any]]] = {}
        for which in sorted(range(len(feeds)), key=lambda one: (one + number) % len(feeds)):
            time.sleep(0.02)
            answers[which] = feeds[which].ask(f"{name}{number}", line)
        yield [answers[which] for which in range(len(feeds))]


def _compare(ours: Sequence[float], theirs: Sequence[float]) -> None:
    def at(took: Sequence[float], share: float) -> float:
        return sorted(took)[min(len(took) - 1, int(len(took) * share))]

    ratios = [f"p{100 * share:.0f} {at(ours, share) / at(theirs, share):.3f}" for share in (0.5, 0.9, 0.99)]
    single = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"  ratio    {', '.join(ratios)}; of single findings {single:.3f}", flush=True)


def _print(name: str, took: Sequence[float], bodies: Sequence[dict[str, Any]]) -> None:
    ordered = sorted(took)
    quantiles = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.95, 0.99, 1.0)]
    model = sum(body["analysis"]["origin"] == "model" for body in bodies)
    reasons = Counter(body["analysis"]["fallback_reason"] for body in bodies if body["analysis"]["origin"] != "model")
    others = (
        f", others: {', '.join(f'{reason} {count}' for reason, count in sorted(reasons.items()))}" if reasons else ""
    )
    print(
        f"{name:<10}{''.join(f'{value:>8.0f}' for value in (*quantiles, took[0]))}"
        f"  {model} of {len(bodies)}, {len({body['class'] for body in bodies})} classes{others}",
        flush=True,
    )


if __name__ == "__main__":
    main()
