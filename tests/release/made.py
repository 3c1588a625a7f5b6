"""What is made once for all tests here, and how it is installed where there is no network."""

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.build import REPORT, ROOT

Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Bundle:
    """A bundle, as a file and unpacked."""

    file: Path
    tree: Path

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.tree / "bundle.json").read_text(encoding="utf-8"))
        return facts


def unpack(file: Path, into: Path) -> Bundle:
    with tarfile.open(file) as archive:
        archive.extractall(into, filter="data")
    (tree,) = into.iterdir()
    return Bundle(file, tree)


def without_network(*command: str | Path) -> Ended:
    """Run in a network namespace of its own, in which there is not even a loopback."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "SYSSCAN_"))}
    return subprocess.run(
        ["unshare", "--net", "--", *map(str, command)], capture_output=True, text=True, env=kept, cwd="/", check=False
    )


def install(bundle: Bundle, *options: str | Path) -> Ended:
    return without_network("sh", bundle.tree / "install.sh", *options)


def analysed(program: Path) -> str:
    """Return what an installed program says of a report."""
    done = without_network(program, "analyze", REPORT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") > 90
    return done.stdout


def analysed_here() -> str:
    """Return what the checkout says of it."""
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "sysscan-agent", "analyze", REPORT], capture_output=True, text=True, check=True
    )
    return done.stdout
