"""The service's sandbox: how tight it is, and that the agent works inside it."""

import ctypes
import ctypes.util
import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "sysscan-agent.service"
DROP_INS = ROOT / "systemd" / "drop-ins"
REPORT = ROOT / "tests" / "data" / "scans" / "web01-ioc.json"
SYSTEM_UNITS = next(
    (path for path in map(Path, ("/usr/lib/systemd/system", "/lib/systemd/system")) if path.is_dir()), None
)

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def exposure(unit: Path) -> float:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found is not None, told.stdout + told.stderr
    return float(found[1])


def installed(root: Path, *, program: bool = True, drop_in: Path | None = None, unit: Path = UNIT) -> Path:
    """Lay the unit out below a root of its own, with the units that it refers to."""
    units = root / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(unit, units)
    if drop_in is not None:
        directory = units / f"{unit.name}.d"
        directory.mkdir()
        shutil.copy(drop_in, directory)
    (root / "usr" / "lib" / "systemd").mkdir(parents=True)
    assert SYSTEM_UNITS is not None
    shutil.copytree(SYSTEM_UNITS, root / "usr" / "lib" / "systemd" / "system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    if program:
        binary = root / "opt" / "sysscan-agent" / "bin" / "sysscan-agent"
        binary.parent.mkdir(parents=True)
        binary.write_text("#!/bin/sh\n", encoding="ascii")
        binary.chmod(0o755)
    return units / unit.name


def verify(root: Path, name: str = UNIT.name) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", name], capture_output=True, text=True, check=False
    )


@with_systemd
def test_the_air_gapped_service_is_exposed_by_two_tenths_at_most() -> None:
    assert exposure(UNIT) <= 0.2


def exposures(tmp_path: Path, drop_in: str) -> tuple[float, float]:
    """Give how exposed the unit is without a drop-in, and with it."""
    shutil.copy(UNIT, tmp_path)
    plain = exposure(tmp_path / UNIT.name)
    (tmp_path / f"{UNIT.name}.d").mkdir()
    shutil.copy(DROP_INS / drop_in, tmp_path / f"{UNIT.name}.d")
    return plain, exposure(tmp_path / UNIT.name)


@with_systemd
def test_the_form_that_reads_files_of_root_stays_below_the_limit_for_it(tmp_path: Path) -> None:
    plain, opened_up = exposures(tmp_path, "root-only-reports.conf")
    assert plain < opened_up <= 0.7


@with_systemd
def test_the_measure_notices_an_opened_sandbox(tmp_path: Path) -> None:
    """Without this, a number that systemd prints for anything would do."""
    text = UNIT.read_text(encoding="utf-8").replace("PrivateNetwork=yes", "PrivateNetwork=no")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    assert exposure(tmp_path / UNIT.name) > 0.5


@with_systemd
@pytest.mark.parametrize("drop_in", [None, *sorted(DROP_INS.glob("*.conf"))], ids=lambda path: path and path.stem)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, drop_in: Path | None) -> None:
    installed(tmp_path, drop_in=drop_in)
    told = verify(tmp_path)
    assert (told.returncode, told.stderr) == (0, "")


@with_systemd
def test_verification_notices_a_missing_program(tmp_path: Path) -> None:
    installed(tmp_path, program=False)
    told = verify(tmp_path)
    assert told.returncode != 0
    assert "/opt/sysscan-agent/bin/sysscan-agent is not executable" in told.stderr


def test_every_name_that_switches_tracing_on_is_taken_out_of_the_environment() -> None:
    listed = set(" ".join(settings_of(UNIT.read_text(encoding="utf-8"))["UnsetEnvironment"]).split())
    prefixes = ("LANGSMITH", "LANGCHAIN")
    suffixes = ("TRACING", "TRACING_V2", "ENDPOINT", "API_KEY", "PROJECT")
    # LANGCHAIN_TRACING_V2 and LANGSMITH_TRACING are the documented ones; the library accepts every combination.
    assert {f"{prefix}_{suffix}" for prefix in prefixes for suffix in suffixes} <= listed
    assert {"LANGSMITH_RUNS_ENDPOINTS", "OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS_PROXY"} <= listed


def test_the_unit_agrees_with_the_settings_that_it_is_installed_with() -> None:
    import tomllib

    unit = settings_of(UNIT.read_text(encoding="utf-8"))
    config = tomllib.loads((ROOT / "config" / "config.toml").read_text(encoding="utf-8"))
    writable = {
        f"/var/lib/{unit['StateDirectory'][0]}",
        f"/var/log/{unit['LogsDirectory'][0]}",
        f"/run/{unit['RuntimeDirectory'][0]}",
    }
    assert str(Path(config["output"]["path"]).parent) in writable
    assert str(Path(config["metrics"]["path"]).parent) in writable
    readable = " ".join(unit["ReadOnlyPaths"]).replace("-/", "/").split()
    assert set(config["watch"]["roots"]) <= set(readable)


def test_the_service_sees_what_names_a_model_and_what_tells_of_memory() -> None:
    """/proc/cpuinfo and /proc/meminfo; without the first, the service and `analyze` could not share answers."""
    assert settings_of(UNIT.read_text(encoding="utf-8"))["ProcSubset"] == ["all"]


def test_the_watchdog_and_the_time_to_stop_leave_room_for_a_batch() -> None:
    unit = settings_of(UNIT.read_text(encoding="utf-8"))
    assert int(unit["WatchdogSec"][0]) >= 30
    assert int(unit["TimeoutStopSec"][0]) >= 30
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]


def test_the_end_of_the_models_process_is_not_the_end_of_the_service() -> None:
    unit = settings_of(UNIT.read_text(encoding="utf-8"))
    assert unit["KillMode"] == ["mixed"], "SIGTERM is for the daemon, SIGKILL for whatever is left"
    assert unit["OOMPolicy"] == ["continue"]
    assert int(unit["TasksMax"][0]) > 8


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None,
    reason="systemd-sysusers is not installed",
)
def test_the_accounts_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(ROOT / "systemd" / "sysscan-agent.sysusers")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    groups = (tmp_path / "etc" / "group").read_text(encoding="utf-8")
    unit = settings_of(UNIT.read_text(encoding="utf-8"))
    assert re.search(rf"^{unit['User'][0]}:", users, re.M)
    assert re.search(rf"^{unit['SupplementaryGroups'][0]}:[^:]*:\d+:{unit['User'][0]}$", groups, re.M)


# The agent inside its sandbox. There is no service manager in a test, so the parts that act on a process alone are
# applied by hand: the system calls that the unit allows, and no memory that is writable and executable.

_SANDBOX = """
import ctypes, errno, os, sys
allowed, memory, rest = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
libc = ctypes.CDLL(None, use_errno=True)
if memory == "deny" and libc.prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit(77)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(seccomp.seccomp_init(0x00050000 | errno.EPERM))  # SCMP_ACT_ERRNO
for name in allowed:
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert seccomp.seccomp_rule_add(context, 0x7FFF0000, number, 0) == 0  # SCMP_ACT_ALLOW
assert seccomp.seccomp_load(context) == 0
os.execv(sys.executable, [sys.executable, *rest])
"""


# The model is loaded and asked, not only looked up.
ASKING = {**os.environ, "SYSSCAN_MODEL__SHIPPED": "false"}


def members(group: str, seen: set[str] | None = None) -> set[str]:
    """List the system calls of a group such as ``@system-service``."""
    seen = set() if seen is None else seen
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
    )
    calls: set[str] = set()
    for line in told.stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@") and name not in seen:
            calls |= members(name, seen | {name})
        elif name and name[0] not in "#@":
            calls.add(name)
    return calls


@functools.cache
def allowed_calls() -> set[str]:
    calls: set[str] = set()
    for value in settings_of(UNIT.read_text(encoding="utf-8"))["SystemCallFilter"]:
        named = set().union(*(members(name) for name in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    # systemd itself starts the program before the filter is tightened.
    return calls | {"execve", "exit", "exit_group", "rt_sigreturn"}


def run_inside(memory: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-c", _SANDBOX, ",".join(sorted(allowed_calls())), memory, *arguments],
        capture_output=True, cwd=ROOT, check=False, env=ASKING,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this kernel cannot deny memory that is writable and executable to a process")
    return done


with_seccomp = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
    reason="systemd-analyze or libseccomp is not installed",
)


def recording(state: Path) -> list[str]:
    return ["-m", "daemon.cli", "analyze", "--record", "--state-dir", str(state), str(REPORT)]


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the agent writes without a sandbox."""
    command = [sys.executable, *recording(tmp_path_factory.mktemp("free"))]
    return subprocess.run(command, capture_output=True, cwd=ROOT, env=ASKING, check=True).stdout


@with_seccomp
@pytest.mark.parametrize("memory", ["allow", "deny"])
def test_the_agent_works_within_the_system_calls_of_the_unit(tmp_path: Path, free: bytes, memory: str) -> None:
    inside = run_inside(memory, *recording(tmp_path))
    assert inside.returncode == 0, inside.stderr.decode()
    assert inside.stdout == free
    assert b'"origin":"model"' in inside.stdout


@with_seccomp
def test_the_unit_allows_what_starts_and_ends_the_models_process() -> None:
    """It would be missed only when the daemon is killed, or when the process that is started is to end with it."""
    assert {"execve", "vfork", "setpgid", "socketpair", "pipe2", "eventfd2", "prctl", "kill"} <= allowed_calls()


@with_seccomp
def test_the_sandbox_of_these_tests_is_one() -> None:
    """A call that the unit forbids must fail in it."""
    done = run_inside("allow", "-c", "import os; os.sched_setaffinity(0, os.sched_getaffinity(0))")
    assert b"PermissionError" in done.stderr


@with_systemd
def test_the_form_that_reaches_brokers_opens_the_network_and_nothing_else(tmp_path: Path) -> None:
    plain, opened_up = exposures(tmp_path, "kafka.conf")
    assert plain < opened_up <= 1.2
    opened = settings_of((DROP_INS / "kafka.conf").read_text(encoding="utf-8"))
    assert set(opened) == {
        "Wants", "After", "PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow",
    }  # fmt: skip


@with_systemd
def test_sinks_open_the_network_to_the_addresses_that_are_written_there(tmp_path: Path) -> None:
    installed(tmp_path)
    plain, opened_up = exposures(tmp_path, "sinks.conf")
    assert plain < opened_up <= 1.2
    opened = settings_of((DROP_INS / "sinks.conf").read_text(encoding="utf-8"))
    assert (opened["IPAddressDeny"], opened["IPAddressAllow"]) == (["any"], ["192.0.2.0/24"])
    assert set(opened) == {
        "Wants", "After", "PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow",
    }  # fmt: skip


@with_systemd
def test_a_model_on_loopback_opens_the_network_to_loopback_alone(tmp_path: Path) -> None:
    installed(tmp_path)
    plain, opened_up = exposures(tmp_path, "model-endpoint.conf")
    assert plain < opened_up <= 1.2
    opened = settings_of((DROP_INS / "model-endpoint.conf").read_text(encoding="utf-8"))
    assert (opened["IPAddressDeny"], opened["IPAddressAllow"]) == (["any"], ["localhost"])
    assert set(opened) == {"PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow"}
