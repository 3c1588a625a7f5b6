"""What a set of wheels needs, and whether all of it is among them, for a Python that need not be here."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

_GLIBC = re.compile(r"manylinux_(\d+)_(\d+)_")
_OLD_NAMES = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def environment(python: str, machine: str) -> dict[str, str]:
    """Return what markers ask for, of CPython `python` ("3.12") on Linux."""
    return {
        "implementation_name": "cpython", "implementation_version": f"{python}.0", "os_name": "posix",
        "platform_machine": machine, "platform_python_implementation": "CPython", "platform_release": "",
        "platform_system": "Linux", "platform_version": "", "python_full_version": f"{python}.0",
        "python_version": python, "sys_platform": "linux",
    }  # fmt: skip


def applying(lines: Iterable[str], target: Mapping[str, str], extras: Iterable[str] = ("",)) -> list[Requirement]:
    """Return the requirements of these lines that apply there, without their markers.

    Args:
        lines: of a constraints file, or of the metadata of a package.
        extras: those that are asked for; "" for none.
    """
    found = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        one = Requirement(line)
        marker, one.marker = one.marker, None
        if marker is None or any(marker.evaluate({**target, "extra": extra}) for extra in ("", *extras)):
            found.append(one)
    return found


def metadata_of(wheel: Path) -> tuple[str, str, list[str]]:
    """Return name, version and requirements of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
        said = BytesParser().parsebytes(archive.read(name), headersonly=True)
    return canonicalize_name(said["Name"]), said["Version"], said.get_all("Requires-Dist") or []


def closure(wheels: Iterable[Path], wanted: Iterable[Requirement], target: Mapping[str, str]) -> set[Path]:
    """Return the wheels that are needed for what is wanted.

    Raises:
        LookupError: names what is needed and not among them.
    """
    known = {name: (path, version, needs) for path in wheels for name, version, needs in [metadata_of(path)]}
    needed: set[Path] = set()
    done: set[tuple[str, str]] = set()
    waiting = [(one, "what was asked for") for one in wanted]
    while waiting:
        one, asker = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in known or not one.specifier.contains(known[name][1], prereleases=True):
            raise LookupError(f"{asker} needs {one}, which is not among the wheels")
        path, _, needs = known[name]
        needed.add(path)
        for extra in ("", *one.extras):
            if (name, extra) not in done:
                done.add((name, extra))
                waiting += [(below, name) for below in applying(needs, target, (extra,))]
    return needed


def lowest_glibc(wheels: Iterable[str]) -> tuple[int, int]:
    """Return the oldest glibc that all wheels with these file names run with."""
    lowest = (0, 0)
    for wheel in wheels:
        *_, tags = parse_wheel_filename(wheel)
        takes = [
            (int(found[1]), int(found[2])) if (found := _GLIBC.match(tag.platform)) else _OLD_NAMES[old]
            for tag in tags
            if _GLIBC.match(tag.platform) or (old := tag.platform.partition("_")[0]) in _OLD_NAMES
        ]
        if takes:
            lowest = max(lowest, min(takes))
    return lowest
