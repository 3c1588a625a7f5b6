"""Another model answers without a restart, from the next scan on; one that cannot be used changes nothing."""

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.models.embedded import EMBEDDED_MODEL
from tests.crash.process import wait_until
from tests.daemon.cli.invoke import SCANS, in_a_process
from tests.daemon.running import Running
from tests.depth import is_deep

REPORT = json.loads((SCANS / "web01-ioc.json").read_text())


class Answering(Running):
    """A daemon with the model of the program, which is asked: nothing is shipped with it."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, SYSSCAN_MODEL__SHIPPED="false")
        self.scans = 0

    def send(self) -> None:
        self.scans += 1
        report = {**REPORT, "summary": {**REPORT["summary"], "finished_at": f"2026-11-30T00:00:{self.scans:02d}Z"}}
        self.feed(f"scan-{self.scans}.json", json.dumps(report).encode())

    def settle(self) -> None:
        wait_until(lambda: len(self.lines("sysscan.scan/1")) == self.scans, "all scans")

    def scan(self) -> set[str]:
        """Have a scan analysed; gives the models that its lines name."""
        self.send()
        self.settle()
        last = self.lines("sysscan.scan/1")[-1]["scan_id"]
        named = {line["analysis"]["model"] for line in self.lines("sysscan.enriched/1") if line["scan_id"] == last}
        return {name.partition("@")[0] for name in named - {None}}

    def registry(self, *arguments: str) -> dict[str, Any]:
        ended = in_a_process("model", *arguments, "--json", "--state-dir", str(self.state))
        assert ended.code == 0, ended.err
        said: dict[str, Any] = json.loads(ended.out.splitlines()[0])
        return said


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Answering]:
    daemon = Answering(tmp_path)
    daemon.start()
    yield daemon
    daemon.end()


def renamed(directory: Path, name: str) -> Path:
    """Lay out a model that differs from the program's in its name and in one file that nobody runs."""
    shutil.copytree(EMBEDDED_MODEL, directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest["files"]["README.md"]
    (directory / "README.md").unlink()
    (directory / "manifest.json").write_text(json.dumps({**manifest, "name": name}))
    return directory


def test_a_promoted_model_answers_from_the_next_scan_on_and_a_rollback_undoes_it(
    running: Answering, tmp_path: Path
) -> None:
    assert running.scan() == {"sysscan-small"}
    other = running.registry("add", str(renamed(tmp_path / "other", "tuned")))
    assert running.scan() == {"sysscan-small"}  # adding is not promoting
    running.registry("promote", other["digest"])
    running.until("reload.taken")
    assert running.scan() == {"tuned"}
    assert len(running.children("pipeline.engine.serve")) <= 1  # nobody asks the other one any more
    running.registry("rollback")
    running.until("reload.taken", 2)
    assert running.scan() == {"sysscan-small"}
    assert len(running.lines("sysscan.scan/1")) == running.scans == 4


def test_under_a_stream_of_scans_nothing_is_lost_doubled_or_answered_by_two(running: Answering, tmp_path: Path) -> None:
    other = running.registry("add", str(renamed(tmp_path / "other", "tuned")))
    for _ in range(4):
        running.send()
    running.registry("promote", other["digest"])
    for _ in range(4):
        running.send()
    running.settle()
    lines = running.lines("sysscan.enriched/1")
    findings = sum(len(section["findings"]) for section in REPORT["results"])
    assert len({line["dedupe_key"] for line in lines}) == len(lines) == findings * running.scans
    of_scan: dict[str, set[str]] = {}
    for line in lines:
        if line["analysis"]["model"] is not None:
            of_scan.setdefault(line["scan_id"], set()).add(line["analysis"]["model"].partition("@")[0])
    assert all(len(named) == 1 for named in of_scan.values())
    assert running.scan() == {"tuned"}


@pytest.mark.slow
def test_killed_at_any_moment_of_a_swap_nothing_is_lost_or_doubled_and_the_incumbent_answers(
    running: Answering, tmp_path: Path
) -> None:
    other = running.registry("add", str(renamed(tmp_path / "other", "tuned")))
    swaps = (("promote", other["digest"]), ("rollback",))
    # A little later each time: before it looks, while it loads, while it answers.
    for later_s, swap in itertools.product((0.0, 0.15, 0.3, 0.45) if is_deep() else (0.0, 0.3), swaps):
        running.settle()
        running.send()
        running.registry(*swap)
        running.send()
        time.sleep(later_s)
        running.end(signal.SIGKILL)
        running.start()
    running.settle()
    lines = running.lines("sysscan.enriched/1")
    findings = sum(len(section["findings"]) for section in REPORT["results"])
    assert len({line["dedupe_key"] for line in lines}) == len(lines) == findings * running.scans
    named = {line["analysis"]["model"] for line in lines} - {None}
    assert {name.partition("@")[0] for name in named} == {"sysscan-small", "tuned"}  # by what each line says
    assert running.scan() == {"sysscan-small"}  # the last was a rollback
    taken = running.log.read_bytes().count(b'"reload.taken"')
    running.registry("promote", other["digest"])
    running.until("reload.taken", taken + 1)
    assert running.scan() == {"tuned"}


def test_a_model_that_is_damaged_after_its_promotion_changes_nothing_and_is_said(
    running: Answering, tmp_path: Path
) -> None:
    assert running.scan() == {"sysscan-small"}
    other = running.registry("add", str(renamed(tmp_path / "other", "tuned")))
    weights = running.state / "models" / other["digest"] / "onnx" / "model.onnx.data"
    pointer = running.state / "models" / "incumbent.json"
    running.registry("promote", other["digest"])
    running.until("reload.taken")
    running.registry("rollback")
    running.until("reload.taken", 2)
    os.truncate(weights, 100)
    promoted = json.loads(pointer.read_text())
    promoted["history"].append(promoted["history"][0])  # as if it had been damaged a moment after
    pointer.with_suffix(".new").write_text(json.dumps(promoted))
    pointer.with_suffix(".new").replace(pointer)
    running.until("reload.refused")
    assert running.scan() == {"sysscan-small"}
    assert "goes on answering" in running.log.read_text()
