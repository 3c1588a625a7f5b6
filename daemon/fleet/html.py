"""Makes HTML in which every text is escaped, because there is no way to put one in that is not."""

from html import escape

from pipeline.display import printable

_VOID = frozenset({"meta", "br", "hr"})
_MAX_TEXT = 400  # characters of one text


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


def sheet(rules: str) -> Markup:
    """Make the element for a style sheet of ours; nothing of it comes from outside."""
    return Markup(f"<style>{rules}</style>")


def _name(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _text(value: str | int) -> str:
    return escape(printable(str(value), _MAX_TEXT), quote=True)
