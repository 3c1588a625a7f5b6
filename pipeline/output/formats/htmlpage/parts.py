"""What the parts of the page are made of: cells, tables, levels."""

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.finding import Level
from pipeline.output.formats.overview import Kind, words_of_scanner
from pipeline.output.markup import Content, Markup, element, text
from pipeline.output.records import EnrichedFinding

LONG: Final = 2_000  # characters of a text; a command is never cut: half of one may do another thing
CODE: Final = 20_000


def level_of(finding: EnrichedFinding) -> Markup:
    level = finding.risk.level
    return element("span", f"{level} {finding.risk.score}", class_=f"level {level}")


def examples_of(kind: Kind) -> str:
    """Say how many findings a kind has, and what some of them are about."""
    more = f", and {kind.more:,} more" if kind.more > 0 else ""
    return f"{many(kind.findings, 'finding')}: {', '.join(kind.examples)}{more}"


def words_of(kind: Kind) -> list[Markup]:
    """Give the scanner's own words where the kind is not known: set apart, since anybody may have chosen them."""
    words = words_of_scanner(kind.worst)
    if not words:
        return []
    said = "The scanner says: " if kind.findings == 1 else f"The scanner says of {kind.examples[0]}: "
    return [element("p", said, element("q", text(words, LONG)))]


def number(level: Level, count: int) -> Markup:
    return element(
        "div", element("dt", level.capitalize()), element("dd", f"{count:,}", class_=level if count else "zero")
    )


def count_cell(label: str, count: int, level: Level) -> Markup:
    return element("td", f"{count:,}", class_=f"n {level if count else 'zero'}", data_label=label)


def head_cell(said: str) -> Markup:
    return element("th", said, scope="row")


def cell(label: str, *said: Content) -> Markup:
    return element("td", *said, data_label=label)


def cut(count: int, most: int) -> str:
    return f"The first {most:,} of {count:,}" if count > most else ""


def table(headings: Sequence[str], rows: Iterable[Iterable[Markup]], caption: str = "", look: str = "plain") -> Markup:
    """Make a table; without rows, say that there is nothing.

    Args:
        look: a class of the style sheet.
    """
    made = [element("tr", *row) for row in rows]
    if not made:
        return element("p", "None.", class_="dim")
    title = [element("caption", caption)] if caption else []
    heads = element("tr", *(element("th", heading, scope="col") for heading in headings))
    return element("table", *title, element("thead", heads), element("tbody", *made), class_=look)


def many(count: int, one: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {one}s"
