"""Debian package and bundle, installed in a copy of this machine's file system of which nothing stays."""

import hashlib
import subprocess
from pathlib import Path

from daemon.version import VERSION
from release.deb import make_package
from tests.packaging.build import REPORT
from tests.release.made import Bundle, analysed_here

_INSIDE = Path(__file__).with_name("inside.sh")


def test_it_is_installed_used_upgraded_and_removed_without_a_trace(bundle: Bundle, tmp_path: Path) -> None:
    package = make_package(bundle.file, tmp_path)
    (tmp_path / "scratch").mkdir()
    done = subprocess.run(
        [
            "unshare", "--mount", "--net", "--propagation", "private", "sh", _INSIDE, package, bundle.tree,
            REPORT, tmp_path / "scratch",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    digest = hashlib.sha256(analysed_here().encode()).hexdigest()
    assert said[:5] == [
        "user: sysscan-agent sysscan",
        f"version: sysscan-agent {VERSION}",
        f"findings: {digest}  -",
        "page: SYSSCAN-AGENT(1)                 User Commands                SYSSCAN-AGENT(1)",
        "unit: there",
    ]
    assert said[5].startswith("trainer: the Debian package does not have it; ")
    # Settings and state outlive an upgrade and a removal; a purge takes all of it.
    assert said[6:] == [
        "upgraded: # mine kept",
        "removed: 0 # mine kept",
        f"bundle: {digest}  -",
        "control: left: > /etc/left-behind",
    ]
