"""Faults that were found from outside, each as a script that needs nothing but the installed program.

A script ends with 0 where things are right, with 1 where the fault is there, and with 77 where it cannot be tried.
`SYSSCAN_CASES=slow` takes those that need long instead of the others; `.ci/run` has a step for them.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CASES = Path(__file__).parent
ROOT = CASES.parents[1]
AGENT = Path(sys.executable).with_name("sysscan-agent")
PATIENCE_S = 300  # none takes this long unless something hangs
CANNOT_BE_TRIED = 77

SLOW = {
    "gzip_of_many_members",
    "position_without_its_head",
    "scan_larger_than_memory",
    "start_on_a_full_disk",
    "stop_while_it_takes_in",
    "stream_changed_in_the_middle",
}
# Everything else must be tried wherever skips are failures.
MAY_BE_UNTRIED = {
    "failed_part_stays": "its trigger is mended; tests/daemon/test_shard.py has the kind",
    "inode_number_used_again": "many file systems do not use a number again; tests/daemon/sources has the kind",
}


def _wanted() -> list[Path]:
    slow = os.environ.get("SYSSCAN_CASES") == "slow"
    return sorted(case for case in CASES.glob("*/case.*") if (case.parent.name in SLOW) == slow)


@pytest.mark.parametrize("case", _wanted(), ids=lambda case: case.parent.name)
def test_case(case: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # a case may go on as a user that has nothing of its own
        _try(case, place)


def _try(case: Path, place: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
    # `python3` of a script is the one that runs the tests.
    path = f"{AGENT.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh" if case.suffix == ".sh" else sys.executable, case],
        env={**kept, "AGENT": str(AGENT), "PYTHONPATH": str(ROOT), "TMPDIR": place, "PATH": path},
        cwd=place, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if done.returncode == CANNOT_BE_TRIED and case.parent.name not in MAY_BE_UNTRIED:
        pytest.skip(f"{case.parent.name}: {done.stdout.strip()}")
    assert done.returncode in (0, CANNOT_BE_TRIED), f"{done.stdout}\n{done.stderr}"


def test_every_case_that_is_named_here_exists() -> None:
    assert SLOW | MAY_BE_UNTRIED.keys() <= {case.parent.name for case in CASES.glob("*/case.*")}
