"""Makes HTML in which every text is escaped, because there is no way to put one in that is not."""

import base64
import hashlib
from html import escape

from pipeline.display import printable

_VOID = frozenset({"meta", "br", "hr"})
_MAX_TEXT = 400  # characters of one text

# Colours of all pages, for light and dark; each has a contrast of 4.5 or more on paper and card (WCAG 2.2).
PALETTE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f4f5f7;--ink:#16191d;--dim:#545b65;--line:#d4d8de;
--critical:#a3122a;--high:#a04400;--medium:#745500;--low:#1d5b8f;--info:#545b65;--calm:#1c6b3c;--bar:#a3122a}
@media (prefers-color-scheme:dark){:root{--paper:#111418;--card:#1a1f25;--ink:#e7eaee;--dim:#a2abb6;--line:#333b45;
--critical:#ff8f9d;--high:#ffb072;--medium:#ecc94b;--low:#8cc4f5;--info:#a2abb6;--calm:#7fd6a2;--bar:#ff8f9d}}
"""


class Markup(str):
    """HTML that `element` has made; nothing else makes one."""

    __slots__ = ()


Content = str | int | Markup


def element(tag: str, *content: Content, **attributes: str | int) -> Markup:
    """Make an element; texts are made harmless, cut and escaped.

    Args:
        attributes: by name, with `_` for `-`; one that ends in `_`, such as `class_`, stands for the name without it.
    """
    given = "".join(f' {_name(name)}="{_text(value)}"' for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{together(*content)}</{tag}>")


def together(*content: Content) -> Markup:
    """Put texts and elements one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else _text(one) for one in content))


def text(value: str, limit: int) -> Markup:
    """Make a text of another length than others have."""
    return Markup(escape(printable(value, limit), quote=True))


def policy(rules: str) -> str:
    """Give the policy of a page that has one sheet: nothing is loaded, run, sent or framed."""
    digest = base64.b64encode(hashlib.sha256(rules.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def sheet(rules: str) -> Markup:
    """Make the element for a style sheet of ours; nothing of it comes from outside."""
    return Markup(f"<style>{rules}</style>")


def _name(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _text(value: str | int) -> str:
    return escape(printable(str(value), _MAX_TEXT), quote=True)
