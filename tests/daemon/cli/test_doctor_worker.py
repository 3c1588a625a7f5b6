"""What `doctor` says on a worker between topics: of its partitions' ledgers, and of its copy of the verdicts."""

import json
import time
from pathlib import Path
from typing import Any

from daemon.ledger import Ledger
from daemon.ledger.inputs import add_input
from daemon.ledger.quarantine import store_reject
from pipeline.finding import Reject
from pipeline.review.log import FILE_NAME
from tests.daemon.cli.test_doctor_sinks import invoke

KAFKA = '[kafka]\nconsume = true\nbrokers = ["127.0.0.1:1"]\ntimeout_s = 1\n[output]\nenabled = false\n'


def worker(tmp_path: Path, *, roots: str = "") -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'state_dir = "{tmp_path / "state"}"\n{roots}{KAFKA}', encoding="utf-8")
    return path


def ledger(tmp_path: Path, partition: int) -> Ledger:
    directory = tmp_path / "state" / "kafka" / f"sysscan.reports-{partition}"
    directory.mkdir(parents=True)
    return Ledger.open(directory, clock=time.time)


def checks(config: Path) -> dict[str, dict[str, Any]]:
    done = invoke(config, "doctor")
    assert b"Traceback" not in done.stderr
    return {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}


def test_the_ledger_of_each_partition_is_looked_at(tmp_path: Path) -> None:
    config = worker(tmp_path)
    assert "none yet of sysscan.reports" in checks(config)["ledger"]["detail"]
    with ledger(tmp_path, 0):
        pass
    with ledger(tmp_path, 3) as one, one.database.write() as connection:
        source = add_input(connection, "kafka-documents", "sysscan.reports/3/web01")
        store_reject(connection, source, Reject("truncated", "cut"), digest=None, scan=None, now="2026-11-01T00:00:00Z")
    found = checks(config)
    assert "ledger" not in found and found["ledger 0"]["verdict"] == "ok"
    assert found["ledger 3"]["verdict"] == "warning" and "1 entries in quarantine" in found["ledger 3"]["detail"]
    assert f"--state-dir {tmp_path}/state/kafka/sysscan.reports-3" in found["ledger 3"]["advice"]


def test_of_a_damaged_copy_it_says_that_it_comes_back_and_not_to_restore_a_backup(tmp_path: Path) -> None:
    config = worker(tmp_path)
    with ledger(tmp_path, 0):
        pass
    (tmp_path / "state" / FILE_NAME).write_bytes(b"no database at all" * 400)
    found = checks(config)["verdicts"]
    assert found["verdict"] == "problem"
    said = f"{found['detail']} {found['advice']}"
    assert "It is a copy of kafka sysscan.verdicts" in said and "anew" in said and "restore" not in said


def test_a_worker_needs_no_directory_and_one_that_is_set_has_no_effect(tmp_path: Path) -> None:
    found = checks(worker(tmp_path))
    assert found["input"]["detail"] == "reports come from kafka sysscan.reports" and "watch" not in found
    found = checks(worker(tmp_path, roots=f'[watch]\nroots = ["{tmp_path}"]\n'))
    assert (
        found["watch"]["verdict"] == "warning"
        and f"no effect with kafka.consume: {tmp_path}" in found["watch"]["detail"]
    )
