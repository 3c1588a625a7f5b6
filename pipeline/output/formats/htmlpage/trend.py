"""A host over its scans, drawn: one bar a scan, the worst at the bottom, as SVG that stands in a page."""

from collections.abc import Sequence

from pipeline.finding import Level
from pipeline.output.formats.scan import Past
from pipeline.output.markup import Markup, element

SHOWN: tuple[Level, ...] = ("critical", "high", "medium", "low")
_WIDE, _HIGH = 600, 120  # of the drawing, in its own units
_WIDEST = 24


def trend(past: Sequence[Past]) -> Markup:
    """Draw the findings at stake of scans in order, the latest on the right; nothing for one scan alone."""
    if len(past) < 2:
        return Markup("")
    most = max(1, *(sum(one.levels.get(level, 0) for level in SHOWN) for one in past))
    step = _WIDE / len(past)
    width = min(_WIDEST, step * 0.8)
    bars: list[Markup] = []
    for number, one in enumerate(past):
        bottom = float(_HIGH)
        for level in SHOWN:
            height = one.levels.get(level, 0) / most * _HIGH
            if height:
                bottom -= height
                bars.append(
                    element("rect", x=f"{number * step + (step - width) / 2:.1f}", y=f"{bottom:.1f}",
                            width=f"{width:.1f}", height=f"{height:.1f}", class_=level)
                )  # fmt: skip
    words = f"Findings at stake in {len(past)} scans, the latest on the right; the numbers stand in the table below."
    return element("svg", *bars, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=words)
