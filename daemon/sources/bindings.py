"""Which host a directory stands for. Directories are compared as what they are, not as how they are written."""

# ruff: noqa: PTH120
# Plain strings, as in the listing of the tree.

import os
from collections.abc import Iterator, Mapping, Sequence

from pipeline.errors import ConfigError


class Bindings:
    """The host of each bound directory; the nearest one above a report counts."""

    def __init__(self, bind: Mapping[str, str]) -> None:
        """Raises: ConfigError: if two keys are one directory and two hosts."""
        self._bind = dict(bind)
        hosts = self._resolved()
        for key, host in bind.items():
            other = hosts[os.path.realpath(key)]
            if other != host:
                raise ConfigError(f"setting watch.bind: {key}: one directory, bound to {other} and to {host}")

    def host_of(self, path: str) -> str | None:
        """Return the host that a report at `path` is of, whatever it says of itself.

        Links are followed now and not once, in the keys as in the path: a directory may be moved and linked meanwhile.
        """
        if not self._bind:
            return None
        directory = os.path.dirname(os.path.realpath(path))
        hosts = self._resolved()
        while True:
            if directory in hosts:
                return hosts[directory]
            above = os.path.dirname(directory)
            if above == directory:
                return None
            directory = above

    def without_effect(self, roots: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Name the keys that bind nothing at present, each with the reason."""
        watched = [os.path.realpath(root) for root in roots]
        for key in self._bind:
            real = os.path.realpath(key)
            if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in watched) and not any(
                root.startswith(real.rstrip("/") + "/") for root in watched
            ):
                yield key, "lies below no watched root"
            elif not os.path.isdir(real):  # noqa: PTH112
                yield key, "there is no such directory (yet)"

    def _resolved(self) -> dict[str, str]:
        hosts: dict[str, str] = {}
        for key, host in self._bind.items():
            hosts.setdefault(os.path.realpath(key), host)
        return hosts
