from pathlib import Path

import pytest

from pipeline.engine.errors import NotEnoughMemory
from pipeline.engine.memory import available_bytes, require_memory

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9999999 kB\nMemAvailable: 512000 kB\n")
    (proc / "self/cgroup").write_text("0::/system.slice/sysscan-agent.service\n")
    (cgroup / "system.slice/sysscan-agent.service").mkdir(parents=True)
    return proc, cgroup


def limit(group: Path, limit: str, current: int, cached: int = 0) -> None:
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{current}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")


def test_without_limits_it_is_what_the_machine_has(machine: tuple[Path, Path]) -> None:
    assert available_bytes(*machine) == 512000 << 10
    limit(machine[1] / "system.slice/sysscan-agent.service", "max", 5)
    assert available_bytes(*machine) == 512000 << 10


def test_the_tightest_group_above_the_process_counts_and_its_page_cache_is_free(machine: tuple[Path, Path]) -> None:
    limit(machine[1] / "system.slice/sysscan-agent.service", str(300 * MIB), 120 * MIB, cached=20 * MIB)
    assert available_bytes(*machine) == 200 * MIB
    limit(machine[1] / "system.slice", str(100 * MIB), 70 * MIB)
    assert available_bytes(*machine) == 30 * MIB
    limit(machine[1], str(100 * MIB), 170 * MIB)
    assert available_bytes(*machine) == 0


def test_where_nothing_can_be_read_nothing_is_refused(tmp_path: Path) -> None:
    require_memory(1 << 50, "a large model", available_bytes(tmp_path, tmp_path))


def test_a_model_that_does_not_fit_is_refused_with_both_figures() -> None:
    require_memory(10 * MIB, "a model", available=10 * MIB)
    with pytest.raises(NotEnoughMemory, match="a model needs about 11 MiB, 10 MiB are available"):
        require_memory(11 * MIB, "a model", available=10 * MIB)
