"""The report as a page, in a browser: it needs nothing, runs nothing, fits every window, and prints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.output.formats.htmlpage.page import html
from pipeline.output.formats.scan import Past, Scan
from pipeline.scorecard.payloads import HOSTILE
from tests.browser.test_looks import PALE
from tests.pipeline.output.formats.exported import accepted, real_scan, scan_of, some


def written(path: Path, *scans: Scan) -> str:
    """Write a page; returns its address."""
    path.write_bytes(b"".join(html(scans)))
    return path.as_uri()


def with_past(scan: Scan) -> Scan:
    past = tuple(
        Past(f"{day:032x}", f"2026-10-{day:02}T02:00:00Z", {"high": day, "low": 40 - day}) for day in range(1, 20)
    )
    return replace(scan, history=lambda: past)


@pytest.fixture
def report(tmp_path: Path) -> str:
    scans = [with_past(real_scan("web01-base-default.json")), real_scan("web01-ioc.json")]
    scans.append(real_scan("db02-full.json.gz"))
    return written(tmp_path / "report.html", *scans, scan_of([accepted(replace(some(), host="hr-07"))]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 700, 1400])
def test_it_fits_and_every_text_can_be_read(chromium: Any, report: str, scheme: str, width: int) -> None:
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        window = context.new_page()
        asked: list[str] = []
        window.on("request", lambda request: asked.append(request.url))
        window.goto(report)
        window.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert window.evaluate("document.documentElement.scrollWidth") <= width
        assert window.evaluate(PALE) == []
        assert asked == [report]
        assert window.locator("h1").count() == 1 and window.locator("main").count() == 1
    finally:
        context.close()


def test_it_is_read_without_a_script_and_its_links_lead_somewhere(chromium: Any, report: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    try:
        window = context.new_page()
        window.goto(report)
        for link in window.get_by_role("link").all()[:12]:
            target = link.get_attribute("href")
            assert window.locator(f"[id='{target[1:]}']").count() == 1
        # The worst host stands first, and what to do first is in sight without a click.
        assert window.locator("section.host h2").first.inner_text().startswith("web01")
        assert window.locator(".first strong").first.is_visible()
    finally:
        context.close()


def test_on_paper_nothing_stays_folded(chromium: Any, report: str, tmp_path: Path) -> None:
    window = chromium.new_page()
    try:
        window.goto(report)
        window.emulate_media(media="print")
        check = window.locator("details pre").first
        assert check.is_visible() and not window.locator("nav").first.is_visible()
        window.pdf(path=tmp_path / "report.pdf")
        assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    finally:
        window.close()


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_does_nothing(chromium: Any, tmp_path: Path, payload: str) -> None:
    one = some()
    said = replace(one.analysis, assessment=payload, impact=payload)
    action = replace(one.remediation[0], summary=payload, command=payload, check=payload)
    hostile = replace(
        one, host=payload, class_=payload, scan_id=payload, slots={"path": f"/{payload}"}, analysis=said,
        remediation=(action,),
    )  # fmt: skip
    address = written(tmp_path / "hostile.html", scan_of([hostile]))
    window = chromium.new_page()
    troubles: list[str] = []

    def interrupted(dialog: Any) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    window.on("dialog", interrupted)
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("console", lambda message: troubles.append(message.text))
    window.on("request", lambda request: troubles.append(request.url) if request.url != address else None)
    try:
        window.goto(address)
        assert troubles == []
        assert window.locator("script, img, iframe, form, link, object").count() == 0
    finally:
        window.close()
