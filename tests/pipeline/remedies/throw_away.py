"""A root file system to try remediations in, in namespaces of its own; it is gone when it is closed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

INSIDE = Path(__file__).with_name("inside.py")
PATH = "/stand-ins:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--propagation", "private"]

# A shell, and where its commands come from.
Userland = tuple[list[str], str]


class NoRoot(Exception):
    """Raised where this machine does not let us make one; the message is its reason."""


def userlands() -> dict[str, Userland]:
    """List what there is here to run commands with."""
    found: dict[str, Userland] = {}
    for name in ("dash", "bash"):
        path = shutil.which(name)
        if path is not None:
            found[name] = ([path], PATH)
    busybox = shutil.which("busybox")
    if busybox is not None:
        found["busybox"] = ([busybox, "sh"], PATH.replace("/stand-ins:", "/stand-ins:/applets:"))
    return found


class ThrowAwayRoot:
    """One root; commands run in it one after another.

    Raises:
        NoRoot: if this machine allows none.
    """

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="sysscan-root-")
        attempts = [["--user", "--map-root-user"]] if os.geteuid() else [[], ["--user", "--map-root-user"]]
        reasons = []
        for extra in attempts:
            self._process = subprocess.Popen(
                ["unshare", *extra, *_NAMESPACES, "--", sys.executable, "-I", "-S", str(INSIDE), self._directory],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert self._process.stdout is not None
            first = self._process.stdout.readline()
            if first:
                self.mapped: bool = json.loads(first)["mapped"]
                break
            reasons.append(self._process.communicate()[1].strip().rpartition("\n")[2] or "no reason given")
        else:
            shutil.rmtree(self._directory)
            raise NoRoot("; ".join(reasons))
        applets = shutil.which("busybox")
        if applets is not None:
            # Not those that Alpine has from other packages, too: they stay what the host has.
            self.sh(
                f"mkdir /applets && for a in $({applets} --list); do case $a in "
                "mount | umount | modprobe | sh | ip | dpkg | dpkg-deb | rpm | rpm2cpio) ;; "
                f"*) ln -s {applets} /applets/$a;; esac; done"
            )

    def run(self, line: str, userland: Userland | None = None) -> tuple[int, str]:
        """Run a line as a root shell would; return its exit status and all that it said."""
        shell, path = userland or (["/bin/sh"], PATH)
        answer = self._ask(do="run", line=line, shell=shell, path=path)
        return answer["rc"], answer["out"] + answer["err"]

    def sh(self, line: str) -> str:
        """Prepare something; a failure is the test's own."""
        rc, said = self.run(line)
        assert rc == 0, (line, said)
        return said

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there."""
        octal = "".join(f"\\{byte:03o}" for byte in text.encode())
        self.sh(f"mkdir -p {Path(path).parent} && printf '{octal}' > {path} && chmod {mode:o} {path}")

    def snapshot(self) -> dict[str, str]:
        """Describe files, mounts and network settings, without the notes of the actions."""
        answer: dict[str, str] = self._ask(do="snapshot")
        return answer

    def notes(self) -> list[str]:
        """List the notes that there are."""
        answer: list[str] = self._ask(do="notes")
        return answer

    def close(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(self._process.communicate()[1])
        return json.loads(answer)

    def __enter__(self) -> "ThrowAwayRoot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """List what two snapshots do not agree on."""
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
