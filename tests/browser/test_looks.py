"""How it looks: no window is too narrow, and every text can be read, in light and in dark."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Sit
from tests.daemon.review.web.served import Served, copied, served

# Of each text that is to be seen: the contrast of its colour to what lies behind it (WCAG 2.2), where it is too low.
PALE = """
() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const behind = node => {
    for (let one = node; one; one = one.parentElement) {
      const color = parts(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest("option, .unseen, .skip")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(parts(style.color)), light(behind(node))].sort((a, b) => b - a);
    const contrast = (one + .05) / (other + .05);
    if (contrast < 4.5) found.push([contrast.toFixed(2), walk.currentNode.textContent.trim().slice(0, 40)]);
  }
  return found;
}
"""


def pages(reader: Any) -> Any:
    """Open one page after the other, with what was just decided and a mistake among them."""
    finding = reader.page.locator(".open").first.get_attribute("href")
    yield "list"
    reader.open("/many?every=1")
    yield "many"
    reader.open(finding)
    yield "finding"
    reader.page.get_by_role("button", name="Correct").click()
    reader.until("[.trouble]")
    reader.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    yield "mistake"
    reader.page.get_by_role("button", name="Approve").click()
    reader.until("[.done]")
    yield "decided"
    reader.open("/history")
    yield "history"
    reader.open("/nothing")
    yield "message"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_text_can_be_read_and_nothing_sticks_out(page: Served, sit: Sit, scheme: str, width: int) -> None:
    reader = sit(page, width=width, color_scheme=scheme)
    for name in pages(reader):
        assert reader.page.evaluate(PALE) == [], name
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert reader.page.locator("h1").count() == 1, name
        unnamed = reader.page.evaluate(
            "() => [...document.querySelectorAll('main input:not([type=hidden]), select, textarea')]"
            ".filter(one => !one.labels.length && !one.ariaLabel).map(one => one.outerHTML)"
        )
        assert unnamed == [], name
    reader.page.keyboard.press("Tab")
    reader.page.keyboard.press("Tab")
    outline = reader.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "2px"


def test_the_measure_of_contrast_notices_what_is_too_pale(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.page.evaluate("document.querySelector('h1').style.setProperty('color', '#bbb')")
    assert [text for _, text in reader.page.evaluate(PALE)] == ["To review"]
    reader.page.evaluate("document.querySelector('h1').style.removeProperty('color')")


def test_a_hostile_name_makes_no_window_too_wide(hostile: Path, tmp_path: Path, sit: Sit) -> None:
    with served(copied(hostile, tmp_path / "copy")) as page:
        reader = sit(page, width=320)
        for name in pages(reader):
            assert reader.page.evaluate("document.documentElement.scrollWidth") <= 320, name
