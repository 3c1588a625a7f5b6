"""Makes a Debian package around a virtual environment, from a bundle.

    python -m release.deb dist/sysscan-agent-...-py311-x86_64.tar [--python /usr/bin/python3.11] [--out dist]

The environment is made with the distribution's own Python, because the package depends on that one.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from release.wheel import ROOT, source_date

HOME = "/opt/sysscan-agent"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_PROGRAMS = ("sysscan-agent", "sysscan-agent-fleet", "sysscan-train")
_SCRIPTS = ("postinst", "prerm", "postrm")
_CONFFILES = ("config.toml", "policy.yaml")


def make_package(bundle: Path, out: Path, python: str = "", revision: str = "1") -> Path:
    """Make the package; returns the file.

    Args:
        python: the distribution's; default: /usr/bin/python3.N as the bundle is for.

    Raises:
        OSError: says which command failed, and what it said.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sysscan-deb-") as scratch:
        with tarfile.open(bundle) as archive:
            archive.extractall(scratch, filter="data")
        (unpacked,) = Path(scratch).iterdir()
        facts = json.loads((unpacked / "bundle.json").read_text(encoding="utf-8"))
        tree = Path(scratch) / "tree"
        python = python or f"/usr/bin/python{facts['python']}"
        _environment(unpacked, tree, python, facts["extras"])
        _around(unpacked, tree)
        version = f"{facts['version']}-{revision}"
        machine = _MACHINES[facts["machine"]]
        _control(tree, version, machine, facts)
        _date(tree)
        target = out / f"sysscan-agent_{version}_{machine}.deb"
        _run(
            "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(target),
            environment={"SOURCE_DATE_EPOCH": str(source_date())},
        )  # fmt: skip
        return target


def _environment(unpacked: Path, tree: Path, python: str, extras: Sequence[str]) -> None:
    """Make the virtual environment below `tree`, and have it believe that it lies where it will."""
    place = tree / HOME.lstrip("/")
    _run("sh", str(unpacked / "install.sh"), "--prefix", str(place), "--python", python, "--with", ",".join(extras))
    _run(str(place / "bin" / "python"), "-I", "-m", "pip", "--isolated", "--quiet", "uninstall", "--yes", "pip")
    for path in place.rglob("__pycache__"):
        shutil.rmtree(path)
    for path in (*(place / "bin").iterdir(), place / "pyvenv.cfg"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(str(place).encode(), HOME.encode()))
    (installed,) = place.glob("lib/python*/site-packages/sysscan_agent-*.dist-info")
    (installed / "INSTALLER").write_text("dpkg\n", encoding="ascii")  # `how_to_install` looks at it
    (installed / "direct_url.json").unlink()
    for record in place.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        record.unlink()  # without it, pip refuses to touch what is dpkg's


def _around(unpacked: Path, tree: Path) -> None:
    """Put unit, user, settings, man pages, completion and documents into place."""
    units = [path for path in (unpacked / "systemd").iterdir() if path.suffix in (".service", ".socket", ".timer")]

    def put(path: Path, place: str) -> None:
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tree / place)

    for path in units:
        put(path, f"lib/systemd/system/{path.name}")
    put(unpacked / "systemd" / "sysscan-agent.sysusers", "usr/lib/sysusers.d/sysscan-agent.conf")
    put(unpacked / "systemd" / "sysscan-agent.tmpfiles", "usr/lib/tmpfiles.d/sysscan-agent.conf")
    for name in _CONFFILES:
        put(unpacked / "config" / name, f"etc/sysscan-agent/{name}")
    for program in _PROGRAMS:
        put(unpacked / "completion" / "bash" / program, f"usr/share/bash-completion/completions/{program}")
    for path in (unpacked / "completion" / "zsh").iterdir():
        put(path, f"usr/share/zsh/vendor-completions/{path.name}")
    for path in (unpacked / "completion" / "fish").iterdir():
        put(path, f"usr/share/fish/vendor_completions.d/{path.name}")
    documents = "usr/share/doc/sysscan-agent"
    put(ROOT / "release" / "debian" / "copyright", f"{documents}/copyright")
    for name in ("NOTICE", "README.md", "CHANGELOG.md"):
        put(unpacked / name, f"{documents}/{name}")
    for path in (unpacked / "config").rglob("*"):
        if path.is_file():
            put(path, f"{documents}/examples/{path.relative_to(unpacked / 'config')}")
    for path in (unpacked / "systemd" / "drop-ins").iterdir():
        put(path, f"{documents}/examples/drop-ins/{path.name}")
    shutil.copytree(unpacked / "docs", tree / documents / "docs")
    (tree / "usr/share/man/man1").mkdir(parents=True)
    (tree / "usr/bin").mkdir()
    for program in _PROGRAMS:
        page = gzip.compress((unpacked / "man" / f"{program}.1").read_bytes(), mtime=0)
        (tree / f"usr/share/man/man1/{program}.1.gz").write_bytes(page)
        (tree / "usr/bin" / program).symlink_to(f"{HOME}/bin/{program}")


def _control(tree: Path, version: str, machine: str, facts: dict[str, str]) -> None:
    major, minor = facts["python"].split(".")
    kilobytes = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    control = tree / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        f"Package: sysscan-agent\nVersion: {version}\nArchitecture: {machine}\nSection: admin\nPriority: optional\n"
        "Maintainer: the authors of sysscan-agent <root@localhost>\n"
        f"Installed-Size: {kilobytes}\n"
        f"Depends: python3 (>= {major}.{minor}), python3 (<< {major}.{int(minor) + 1}), libc6 (>= {facts['glibc']}), "
        "passwd\n"
        "Description: analyse reports of the host scanner sys-scan\n"
        " Sits beside sys-scan, reads each report as it appears, and turns it into findings with what they are, what\n"
        " to do, and which controls they are evidence for. A small language model comes along; nothing leaves the\n"
        " host. The program and all that it needs lie in /opt/sysscan-agent.\n",
        encoding="utf-8",
    )
    (control / "conffiles").write_text("".join(f"/etc/sysscan-agent/{name}\n" for name in _CONFFILES), encoding="utf-8")
    for name in _SCRIPTS:
        shutil.copyfile(ROOT / "release" / "debian" / name, control / name)


def _date(tree: Path) -> None:
    """Take from it when and by whom it was made."""
    scripts = {tree / "DEBIAN" / name for name in _SCRIPTS}
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path in scripts or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (source_date(), source_date()), follow_symlinks=False)


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
    )
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one; the last line says where it is."""
    parser = argparse.ArgumentParser(prog="python -m release.deb", description="Make the Debian package of a bundle.")
    parser.add_argument("bundle", type=Path, help="as `make bundle` makes it")
    parser.add_argument("--python", default="", help="the distribution's (default: /usr/bin/python3.N of the bundle)")
    parser.add_argument("--revision", default="1", help="of the package (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        made = make_package(given.bundle, given.out, given.python, given.revision)
    except OSError as error:
        sys.exit(f"no package was made: {error}")
    sys.stdout.write(f"{made} ({made.stat().st_size / 1e6:.0f} MB)\n")


if __name__ == "__main__":
    main()
