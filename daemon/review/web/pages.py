"""Templates: whatever they print is made harmless, cut and escaped, because nothing else comes out of them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from daemon.review.web.forms import link
from daemon.review.words import about, decided, label_of, title_of
from pipeline.display import printable
from pipeline.finding import LEVELS

_HERE = Path(__file__).parent
_LONG = 4000  # characters of a text that is read
_COPIED = 65536  # of one that is copied into a shell, which must not be cut
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(slots=True, frozen=True)
class Page:
    """What is answered: a template with what it shows, or where to go instead."""

    template: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    goes_to: str = ""


@dataclass(slots=True, frozen=True)
class File:
    """A file that pages load, under a name that changes with it."""

    path: str
    kind: str
    body: bytes


class _Harmless(str):
    """A text that was made harmless, or that has to come back from the browser as it is; it is still escaped."""

    __slots__ = ()


def _load() -> dict[str, File]:
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _KINDS:
            body = path.read_bytes()
            name = f"/static/{path.stem}-{hashlib.sha256(body).hexdigest()[:12]}{path.suffix}"
            found[path.name] = File(name, _KINDS[path.suffix], body)
    return found


FILES = _load()


def render(page: Page, **shared: Any) -> bytes:
    """Make the HTML of a page."""
    text = _templates.get_template(page.template).render({**shared, **page.values})
    return text.encode("utf-8", "backslashreplace")


def _harmless(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Markup | _Harmless | int):
        return value
    return printable(str(value))


def _limited(limit: int) -> Any:
    return lambda value: _Harmless(printable(str(value or ""), limit))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        long=_limited(_LONG),
        code=_limited(_COPIED),
        exact=lambda value: _Harmless(value),
        words=lambda value: str(value).replace("_", " "),
        count=lambda value: f"{value:,}",
        label=label_of,
        title=title_of,
        about=about,
        decided=decided,
    )
    made.globals.update(link=link, levels=LEVELS[::-1], files={name: file.path for name, file in FILES.items()})
    return made


_templates = _environment()
