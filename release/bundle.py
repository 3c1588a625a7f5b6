"""Makes the offline bundle: all wheels for one Python and one processor, with what installs them.

    python -m release.bundle [--python 3.12] [--machine aarch64] [--out dist] [--wheels DIRECTORY]

The same sources and the same wheels give the same bytes (`release.wheel.source_date` is the one time in it).
"""

import argparse
import hashlib
import json
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

from daemon.version import VERSION
from pipeline.engine.extras import BUNDLED
from release.closure import applying, closure, environment, lowest_glibc, metadata_of
from release.manual import write_completions, write_pages
from release.wheel import ROOT, build_wheel, run_pip, source_date

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
PIP = "pip==26.3"  # comes along, so that a Python without `ensurepip` (Debian's without python3-venv) does, too
CONSTRAINTS = ("constraints.txt", "constraints-fleet.txt")
# faust-streaming is published for no other processor than x86-64.
EXTRAS = {"x86_64": BUNDLED, "aarch64": tuple(one for one in BUNDLED if one != "fleet")}
_NEWEST_GLIBC = 39  # 2.39: wheels that need a newer one are not taken, and those for an older one are preferred
_HANDED_ON = ("docs", "systemd", "config", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE", *CONSTRAINTS)


def bundle_name(python: str, machine: str) -> str:
    """Return the name of a bundle, which is that of the one directory in it."""
    return f"sysscan-agent-{VERSION}-py{python.replace('.', '')}-{machine}"


def make_bundle(python: str, machine: str, out: Path, wheels: Path | None = None) -> Path:
    """Make a bundle; returns the tar file.

    Args:
        wheels: a directory to take them from, instead of the package index.

    Raises:
        OSError, LookupError: say what is missing.
    """
    name = bundle_name(python, machine)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=out) as scratch:
        tree = Path(scratch) / name
        (tree / "wheels").mkdir(parents=True)
        built = build_wheel(Path(scratch) / "wheel")
        _collect(built, tree / "wheels", python, machine, wheels)
        _hand_on(tree)
        facts = {
            "version": VERSION, "python": python, "machine": machine, "extras": list(EXTRAS[machine]),
            "glibc": "{}.{}".format(*lowest_glibc(one.name for one in (tree / "wheels").glob("*.whl"))),
        }  # fmt: skip
        (tree / "bundle.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        script = (ROOT / "release" / "install.sh").read_text(encoding="utf-8")
        for key, value in facts.items():
            script = script.replace(f"@{key}@", " ".join(value) if isinstance(value, list) else str(value))
        (tree / "install.sh").write_text(script, encoding="utf-8")
        _sum(tree)
        return _pack(tree, out / f"{name}.tar")


def _collect(built: Path, directory: Path, python: str, machine: str, wheels: Path | None) -> None:
    target = environment(python, machine)
    extras = EXTRAS[machine]
    pins = [
        str(one)
        for name in CONSTRAINTS
        for one in applying((ROOT / name).read_text(encoding="utf-8").splitlines(), target)
    ]
    _, _, needs = metadata_of(built)
    wanted = [str(one) for one in applying(needs, target, extras)]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, _NEWEST_GLIBC + 1)]
    platforms += [f"{old}_{machine}" for old in ("manylinux1", "manylinux2010", "manylinux2014")]
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=directory.parent.parent) as scratch:
        constraints = Path(scratch) / "pins"
        constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
        fetched = Path(scratch) / "fetched"
        run_pip(
            "download", "--only-binary", ":all:", "--dest", str(fetched), "--constraint", str(constraints),
            "--python-version", python, "--implementation", "cp",
            *(argument for one in platforms for argument in ("--platform", one)),
            *(("--no-index", "--find-links", str(wheels)) if wheels is not None else ()), PIP, *wanted,
        )  # fmt: skip
        found = [*fetched.glob("*.whl"), built]
        # pip asks markers of the Python that runs it; this asks them of the one that is to install the wheels.
        needed = closure(found, [Requirement(PIP), Requirement(f"sysscan-agent[{','.join(extras)}]")], target)
        for wheel in needed:
            shutil.copyfile(wheel, directory / wheel.name)


def _hand_on(tree: Path) -> None:
    for name in _HANDED_ON:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, tree / name)
    write_pages(tree / "man")
    write_completions(tree / "completion")


def _sum(tree: Path) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files]
    (tree / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _pack(tree: Path, target: Path) -> Path:
    """Pack it without a trace of when, where and by whom; not compressed, because wheels are."""

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = source_date()
        entry.mode = 0o755 if entry.isdir() or entry.name.endswith("/install.sh") else 0o644
        return entry

    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in [tree, *sorted(tree.rglob("*"))]:
            archive.add(path, path.relative_to(tree.parent).as_posix(), recursive=False, filter=neutral)
    partial.replace(target)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one; the last line says where it is."""
    parser = argparse.ArgumentParser(prog="python -m release.bundle", description="Make the offline bundle.")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", choices=PYTHONS, default=here, help="of the host (default: %(default)s)")
    parser.add_argument("--machine", choices=MACHINES, default=platform.machine(), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="take them from here, not from the package index")
    given = parser.parse_args(arguments)
    try:
        made = make_bundle(given.python, given.machine, given.out, given.wheels)
    except (OSError, LookupError) as error:
        sys.exit(f"no bundle was made: {error}")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    sys.stdout.write(f"{digest}  {made} ({made.stat().st_size / 1e6:.0f} MB)\n")


if __name__ == "__main__":
    main()
