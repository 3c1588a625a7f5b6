"""Kafka's library is needed by whoever names brokers, and by nobody else."""

import subprocess
import sys
from pathlib import Path

from tests.packaging.build import REPORT, ROOT

# As where it is not installed, however this environment was made.
_WITHOUT = "import sys; sys.modules['aiokafka'] = None\n"
_AGENT = "from daemon.cli.app import main\nsys.argv[0] = 'sysscan-agent'\nmain()\n"


def run(tmp_path: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / REPORT.name).write_bytes(REPORT.read_bytes())
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT + _AGENT, "run", "--once", "--watch", str(reports), "--state-dir",
         str(tmp_path / "state"), *arguments],
        capture_output=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **environment}, timeout=120,
        check=False,
    )  # fmt: skip


def test_without_brokers_it_is_not_missed(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr.decode()


def test_with_brokers_its_absence_is_said_in_a_line(tmp_path: Path) -> None:
    done = run(tmp_path, SYSSCAN_KAFKA__BROKERS="127.0.0.1:1,127.0.0.1:2")
    assert done.returncode == 2
    assert b"aiokafka is not installed: install it with: " in done.stderr
    assert b"Traceback" not in done.stderr


def test_to_read_a_topic_its_absence_is_said_in_a_line(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[kafka]\nbrokers = ["127.0.0.1:1"]\nconsume = true\n')
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT + _AGENT, "run", "--once", "--config", str(config), "--state-dir",
         str(tmp_path / "state")],
        capture_output=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"kafka.consume is set, but aiokafka is not installed: install it with: " in done.stderr
    assert b"Traceback" not in done.stderr


def test_records_must_go_somewhere(tmp_path: Path) -> None:
    done = run(tmp_path, SYSSCAN_OUTPUT__ENABLED="false")
    assert done.returncode == 2
    assert b"set output.enabled, kafka.brokers or sinks" in done.stderr


def test_commands_that_need_it_say_so_in_a_line(tmp_path: Path) -> None:
    for arguments in (["publish", "--brokers", "127.0.0.1:1", str(REPORT)], *(
        ["kafka", command, "--brokers", "127.0.0.1:1"] for command in ("topics", "status", "doctor", "adopt-partitions")
    )):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT + _AGENT, *arguments],
            capture_output=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2, arguments
        assert b"aiokafka is not installed: install it with: " in done.stderr
        assert done.stderr.count(b"\n") == 1
