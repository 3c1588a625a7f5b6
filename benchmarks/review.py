"""How long reviewing takes: a queue of many findings, and a scan with verdicts and without.

    python benchmarks/review.py [--findings 100000] [--situations 2000] [--verdicts 500]

The findings are made up and put into the store that the daemon keeps; list, filter, show and verdict are timed as the
commands and the page do them, without the start of the program, which is timed apart. Then a real scan goes through
the pipeline with verdicts and without, and its findings are kept for reviews; the fastest of several runs. Beside the
time of the clock stands that of the processor, which is what a busy machine leaves to compare.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

from common import DB02, agent, machine
from review_page import page_costs

from daemon.ledger import Ledger, reviewing
from daemon.ledger.retained import Filter
from daemon.ports.work import Reviewable
from daemon.review.queue import AT_STAKE, Queue, Wish
from daemon.review.retained import reviewables
from pipeline.classes.scan import ScanContext
from pipeline.features import load_features
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import load_intel
from pipeline.keys import digest
from pipeline.knowledge.load import load_knowledge
from pipeline.output.enriched import Line
from pipeline.output.read import read_finding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.standing import NONE, Standing, situation_of
from pipeline.review.verdict import Draft, Situation, Target, Verdict, encode_situation
from pipeline.rules.policy import load_policy

AT = "2026-11-29T12:00:00Z"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--findings", type=int, default=100_000)
    arguments.add_argument("--situations", type=int, default=2_000)
    arguments.add_argument("--verdicts", type=int, default=500)
    arguments.add_argument("--runs", type=int, default=5)
    given = arguments.parse_args()
    print(machine())
    scan, sessions = real_scan()
    with TemporaryDirectory() as directory:
        state = Path(directory)
        with Ledger.open(state, clock=time.time) as ledger:
            fill(ledger, given.findings, given.situations, scan[0].line)
            queue_costs(ledger, state, given.verdicts, given.runs)
        print()
        page_costs(state, given.runs, lambda name, act: show(name, act, given.runs))
        started = time.perf_counter()
        listed = run(
            agent("review", "list", "--limit", "50", "--state-dir", directory), capture_output=True, check=True
        )
        whole = time.perf_counter() - started
        started = time.perf_counter()
        run(agent("--version"), capture_output=True, check=True)
        print(
            f"the whole command `review list` {whole * 1e3:.0f} ms, of which the program starts in"
            f" {(time.perf_counter() - started) * 1e3:.0f} ms ({len(listed.stdout.splitlines())} entries)"
        )
    scan_costs(sessions, given.runs)


def fill(ledger: Ledger, findings: int, situations: int, line: bytes) -> None:
    """Put made-up findings into the store, in the transactions of batches."""
    with ledger.database.write() as connection:
        connection.execute(
            "INSERT INTO scans (scan_no, state, source, scan_id, host, host_source, content_hash, opened_at, as_of)"
            " VALUES (1, 'done', x'2d', 's', 'web01', 'report', 'h', ?, ?)",
            (AT, AT),
        )
    spelt = []
    for number in range(situations):
        said = Situation(f"made.up_{number % 200}", "open", {"number": str(number)})
        spelt.append((digest("situation", number), said, json.dumps(encode_situation(said)).encode()))
    real = read_finding(line)
    started = time.perf_counter()
    for first in range(0, findings, 1000):
        batch = []
        for number in range(first, min(first + 1000, findings)):
            name, said, spelling = spelt[number % situations]
            fingerprint = digest("fingerprint", number)
            score = 10 + number % 83
            level = ("info", "low", "medium", "high", "critical")[score // 20]
            made = line.replace(b'"escaped":[]', b'"escaped":["%s"]' % own_words(number))
            for old, new in ((real.fingerprint, fingerprint), (real.analysis.situation, name), (real.host, "web01")):
                made = made.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
            batch.append(
                Reviewable(
                    fingerprint, name, spelling, said.class_id, f"scanner{number % 7}", "open", level, score, "p",
                    (fingerprint,), made,
                )
            )  # fmt: skip
        with ledger.database.write() as connection:
            reviewing.retain(connection, 1, AT, batch)
    print(f"{findings:,} findings in {situations:,} situations; kept in {time.perf_counter() - started:.1f} s")
    started = time.process_time()
    while ledger.reviews.take_words(500):
        pass
    print(f"made quick to search in {(time.process_time() - started) / findings * 1e6:.0f} us each, of the processor")
    with ledger.database.read() as connection:
        sizes = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall())
    print(
        f"lines {sizes['retained_lines'] / 1e6:.0f} MB, their words"
        f" {(sizes['retained_words'] + sizes['situation_words']) / 1e6:.0f} MB\n"
    )


def own_words(number: int) -> bytes:
    """Give 200 bytes that no other line has, as much as lines of a real scan differ in a situation."""
    return " ".join(f"/made/up/{number}/{digest('own', number, part)}" for part in range(4)).encode()


def queue_costs(ledger: Ledger, state: Path, verdicts: int, runs: int) -> None:
    """Time what a reviewer waits for."""
    with VerdictLog.open(state / FILE_NAME) as log:
        queue = Queue(ledger, log, AT)
        unreviewed = Filter(statuses=AT_STAKE)
        entries = queue.unreviewed(unreviewed)

        def listed(wanted: Filter) -> object:
            fresh = Queue(ledger, log, AT)
            first = fresh.unreviewed(wanted)[:50]
            return ledger.reviews.lines([entry.worst for entry in first])

        show("list", lambda: listed(unreviewed), runs)
        show("filter by class", lambda: listed(Filter("made.up_1*", None, None, None, AT_STAKE)), runs)
        show("filter by level and scanner", lambda: listed(Filter(None, None, "high", "scanner3", AT_STAKE)), runs)
        keys = [entry.situation for entry in entries]

        def decide() -> object:
            fresh = Queue(ledger, log, AT)
            (aim,) = fresh.aims(Wish((keys.pop(0),)))
            return log.append([Draft("false_positive", "r", aim.target)], at=AT, author="a")

        show("verdict on a situation: resolve, count, store", decide, runs)
        rows = ledger.reviews.findings(unreviewed, limit=verdicts + 2 * runs)
        names = [row.fingerprint for row in rows]

        def decide_one() -> object:
            fresh = Queue(ledger, log, AT)
            (aim,) = fresh.aims(Wish((names.pop(0),)))
            return log.append([Draft("approve", "r", aim.target)], at=AT, author="a")

        show("verdict on a finding", decide_one, runs)
        drafts = [Draft("approve", "r", Target("web01", name)) for name in names]
        took = timed(lambda: log.append(drafts, at=AT, author="a"))
        print(f"{f'{len(drafts):,} verdicts in one transaction':<58}{took * 1e3:>8.0f} ms")
        show(f"list with {log.head().seq:,} verdicts", lambda: listed(unreviewed), runs)
        show("show a finding by its key", lambda: Queue(ledger, log, AT).finding(rows[-1].fingerprint[:12]), runs)
        show("history", lambda: list(log.verdicts()), runs)


def show(name: str, act: Callable[[], object], runs: int) -> None:
    """Print the fastest of several runs."""
    both = [(timed(act), processor_time(act)) for _ in range(runs)]
    took, busy = min(wall for wall, _ in both), min(processor for _, processor in both)
    print(f"{name:<58}{took * 1e3:>8.0f} ms, of the processor {busy * 1e3:.0f} ms")


def real_scan() -> tuple[list[Line], Callable[[Standing], ScanSession]]:
    """Give the lines of a real scan, and what opens it anew."""
    (parsed,) = read_document(DB02.read_bytes(), Limits()).reports
    known = load_knowledge(load_features)
    resources = Resources(known, load_policy([], known), load_intel([]), version="bench")
    header = parsed.header
    context = ScanContext(1, "s", header.host or "h", "report", header, True, 0, header.finished_at or AT)

    def opened(standing: Standing) -> ScanSession:
        return ScanSession.of(context, parsed.findings, resources, {}, standing)

    return lines_of(opened(NONE)), opened


def lines_of(session: ScanSession) -> list[Line]:
    """Run a scan through the graph."""
    graph, count = build_graph({1: session}), len(session.index.members)
    lines: list[Line] = []
    for first in range(0, count, 256):
        lines += run_batch(graph, session, first, min(first + 256, count))
    session.record()
    return lines


def scan_costs(opened: Callable[[Standing], ScanSession], runs: int) -> None:
    """Time a real scan with verdicts and without, and what keeping its findings adds."""
    plain = opened(NONE)
    verdicts: list[Verdict] = []
    for member in plain.index.members[::10]:
        finding, seq = member.classified, len(verdicts) + 1
        on_finding = Target(plain.index.context.host, finding.fingerprint)
        target = on_finding if seq % 2 else Target(None, None, situation_of(finding))
        verdicts.append(Verdict("approve", "r", target, seq=seq, at=AT, author="a"))
    standing = Standing(verdicts, Head(len(verdicts), "a" * 64))
    without, with_ = [], []
    for _ in range(runs):
        without.append(processor_time(lambda: lines_of(opened(NONE))))
        with_.append(processor_time(lambda: lines_of(opened(standing))))
    lines = lines_of(plain)
    with TemporaryDirectory() as directory, Ledger.open(Path(directory), clock=time.time) as ledger:
        with ledger.database.write() as connection:
            connection.execute(
                "INSERT INTO scans (scan_no, state, source, scan_id, host, host_source, content_hash, opened_at, as_of)"
                " VALUES (1, 'done', x'2d', 's', 'db02', 'report', 'h', ?, ?)",
                (AT, AT),
            )
        kept = [processor_time(lambda: keep(ledger, plain, lines)) for _ in range(runs)]
    base = min(without)
    print(f"\nscan of {len(lines):,} findings, rules, processor time   {base * 1e3:>8.0f} ms")
    print(f"with {len(verdicts):,} verdicts                              {min(with_) * 1e3:>8.0f} ms")
    print(f"keeping its findings for reviews adds             {min(kept) * 1e3:>8.0f} ms ({min(kept) / base:.1%})")


def keep(ledger: Ledger, session: ScanSession, lines: list[Line]) -> None:
    """Keep the findings of a scan, batch by batch."""
    for first in range(0, len(lines), 256):
        found = reviewables(session, first, lines[first : first + 256])
        with ledger.database.write() as connection:
            reviewing.retain(connection, 1, AT, found)


def timed(act: Callable[[], object]) -> float:
    """Say how long something takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def processor_time(act: Callable[[], object]) -> float:
    """Say how much processor time something takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
