"""How much memory this process can still get, asked before a model is loaded."""

from pathlib import Path

from pipeline.engine.errors import NotEnoughMemory

try:
    import resource
except ModuleNotFoundError:  # not on every system
    _HAS_LIMITS = False
else:
    _HAS_LIMITS = True

_UNLIMITED = 1 << 62


def available_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how much memory this process can get: what the machine has free, or less where limits apply.

    Args:
        proc, cgroup: where procfs and the unified control group tree are mounted.
    """
    return min(_machine(proc), _control_groups(proc, cgroup), _address_space(proc))


def require_memory(needed: int, what: str, available: int | None = None) -> None:
    """Check that `needed` bytes are available.

    Raises:
        NotEnoughMemory: naming both figures.
    """
    free = available_bytes() if available is None else available
    if needed > free:
        raise NotEnoughMemory(
            f"{what} needs about {needed >> 20} MiB, {free >> 20} MiB are available; "
            "free memory, raise the limit (MemoryMax=), or choose a smaller model"
        )


def _machine(proc: Path) -> int:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return _UNLIMITED


def _control_groups(proc: Path, root: Path) -> int:
    """Return what the limits of the control group, and of all groups above it, leave."""
    for line in _lines(proc / "self/cgroup"):
        if line.startswith("0::"):
            path = root / line[3:].strip().lstrip("/")
            break
    else:
        return _UNLIMITED
    least = _UNLIMITED
    while path == root or root in path.parents:
        limit, used = _number(path / "memory.max"), _number(path / "memory.current")
        if limit is not None and used is not None:
            # Cached file pages count as used, and are given up when memory is short.
            cached = next(
                (int(line.split()[1]) for line in _lines(path / "memory.stat") if line.startswith("inactive_file ")), 0
            )
            least = min(least, max(0, limit - used + cached))
        path = path.parent
    return least


def _address_space(proc: Path) -> int:
    if not _HAS_LIMITS:
        return _UNLIMITED
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return _UNLIMITED
    pages = next(iter(_lines(proc / "self/statm")), "0").split()[0]
    return max(0, limit - int(pages) * resource.getpagesize())


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "").strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
