"""A host that chose every string of its report: nothing of it runs, fetches, or looks like ours."""

from pathlib import Path
from typing import Any

from tests.browser.conftest import Sit
from tests.daemon.review.web.served import HOSTILE, copied, served


def test_nothing_that_a_host_or_a_reviewer_wrote_runs_or_fetches(hostile: Path, tmp_path: Path, sit: Sit) -> None:
    with served(copied(hostile, tmp_path / "copy")) as page:
        reader = sit(page)
        links = reader.page.locator(".open").evaluate_all("all => all.map(one => one.href)")
        assert len(links) > 8
        with_text = 0
        for link in links:
            reader.page.goto(link)
            reader.page.wait_for_load_state("networkidle")
            assert reader.page.title().endswith("· sysscan review")
            assert reader.page.locator("img, iframe, object, embed, main script, main style").count() == 0
            with_text += "<script>document.title='owned'</script>" in reader.page.locator("main").inner_text()
        assert with_text > 2
        reader.press("f")
        reader.page.keyboard.type(HOSTILE.replace("\x1b", "").replace("\x07", ""))
        reader.press("Enter")
        reader.until("[.done]")
        reader.press("h")
        reader.until("Who decided what")
        assert "<script>document.title='owned'</script>" in reader.page.locator(".log").inner_text()
        reader.open("/many?every=1")
        assert reader.page.locator("img").count() == 0 and reader.page.title().startswith("One verdict on many")


def test_the_same_text_in_a_page_without_escaping_and_policy_would_be_noticed(chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(f'<title>fine</title><input value="{HOSTILE}">', wait_until="domcontentloaded")
    page.wait_for_function("document.title === 'owned'")
    assert any("192.0.2.1" in url for url in asked)
    context.close()


def test_the_policy_stops_what_would_get_past_the_escaping(hostile: Path, tmp_path: Path, sit: Sit) -> None:
    with served(copied(hostile, tmp_path / "copy")) as page:
        reader = sit(page)
        reader.page.evaluate(
            """() => {
            window.blocked = [];
            document.addEventListener("securitypolicyviolation", event => blocked.push(event.effectiveDirective));
            const add = html => document.querySelector("main").insertAdjacentHTML("beforeend", html);
            add('<img src="http://192.0.2.1/x" onerror="document.title=1">');
            add('<p style="position:fixed">x</p>');
            add('<form action="http://192.0.2.1/"><button id="away">x</button></form>');
            const script = document.createElement("script");
            script.textContent = "document.title = 'owned'";
            document.querySelector("main").append(script);
            fetch("http://192.0.2.1/").catch(() => {});
            }"""
        )
        reader.page.wait_for_function("blocked.length >= 5")
        blocked = set(reader.page.evaluate("blocked"))
        assert {"img-src", "style-src-attr", "script-src-elem", "script-src-attr", "connect-src"} <= blocked
        assert reader.page.title().endswith("· sysscan review")
        # All of it was stopped on the way out: the policy is what complains here.
        assert reader.errors and all("Content Security Policy" in error or "Refused" in error or "violates" in error
                                     for error in reader.errors)  # fmt: skip
        reader.errors.clear()
        reader.elsewhere.clear()
