"""Says how a package that is missing gets installed here, wherever the program itself came from.

The name `sysscan-agent` is in no package index, so an extra is installed from what the program was installed from. It
lies in the engine because the engine imports nothing else of the project; everybody else uses it from here.
"""

import json
import shlex
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUNDLED = ("fleet", "kafka", "review", "sign")  # extras that a bundle may have; the others are gigabytes
_BESIDE = {"fleet": ("constraints-fleet.txt",)}  # what pins an extra beside constraints.txt
_SOURCES = Path(__file__).parents[2]


def how_to_install(extra: str, *, sources: Path = _SOURCES, installed: Distribution | None = None) -> str:
    """Say in a clause what installs an extra: a command where one is known.

    Args:
        extra: as in pyproject.toml.
        sources: the directory that the program runs from, which is a checkout or a place for packages.
        installed: what the program was installed as; default: what Python finds.
    """
    if _is_checkout(sources):
        return f"install {_in_checkout(sources, extra)}"
    try:
        installed = installed or distribution("sysscan-agent")
    except PackageNotFoundError:
        return _elsewhere(extra)
    if (installed.read_text("INSTALLER") or "").strip() == "dpkg":
        return f"the Debian package does not have it; {_elsewhere(extra)}"
    origin = _origin(installed)
    if origin is None:
        return _elsewhere(extra)
    if _is_checkout(origin):
        return f"install {_in_checkout(origin, extra)}"
    if not origin.exists():
        return f"{origin}, which this was installed from, is gone; {_elsewhere(extra)}"
    bundle = origin.parent.parent / "install.sh"
    if bundle.is_file():
        if extra not in BUNDLED:
            return f"the bundle does not have it; {_elsewhere(extra)}"
        return f"install it with: sh {shlex.quote(str(bundle))} --prefix {shlex.quote(sys.prefix)} --with {extra}"
    return f"install it with: {_pip()} {shlex.quote(f'{origin}[{extra}]')}"


def _is_checkout(directory: Path) -> bool:
    return (directory / "pyproject.toml").is_file() and (directory / "constraints.txt").is_file()


def _in_checkout(directory: Path, extra: str) -> str:
    if extra not in BUNDLED:  # torch comes before what is built on it, which takes more than one command
        return f"it with: make -C {shlex.quote(str(directory))} trainer (an environment of its own, .venv-trainer)"
    pins = " ".join(f"-c {shlex.quote(str(directory / name))}" for name in ("constraints.txt", *_BESIDE.get(extra, ())))
    return f"it with: {_pip()} {pins} -e {shlex.quote(f'{directory}[{extra}]')}"


def _pip() -> str:
    return f"{shlex.quote(sys.executable)} -m pip install"


def _origin(installed: Distribution) -> Path | None:
    """Return the directory or the wheel that pip installed it from, as PEP 610 has it written down."""
    try:
        url = urlsplit(json.loads(installed.read_text("direct_url.json") or "{}").get("url", ""))
    except (ValueError, AttributeError):
        return None
    return Path(unquote(url.path)) if url.scheme == "file" else None


def _elsewhere(extra: str) -> str:
    if extra in BUNDLED:
        return f"install a bundle or the sources of sysscan-agent with the extra {extra} (docs/install.md)"
    return "in the sources of sysscan-agent, `make trainer` makes an environment with it (docs/install.md)"
