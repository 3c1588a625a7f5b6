"""Draw the pictures of docs/review.md anew from the demo's findings.

make demo && make browser BROWSER_TESTS=--version
CHROMIUM=/usr/bin/chromium .venv/bin/python -m tests.browser.pictures demo-output/state docs/images
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.daemon.review.web.served import TOKEN, served

_SIZE = {"width": 1120, "height": 640}


def main() -> None:
    """Draw the list in light and a finding in dark, with some of it decided."""
    state, images = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as driver:
        copy = Path(directory) / "state"
        shutil.copytree(state, copy)
        browser = driver.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        with served(copy) as page:
            for scheme in ("light", "dark"):
                window = browser.new_context(viewport=_SIZE, color_scheme=scheme).new_page()
                window.goto(f"{page.address}/enter?token={TOKEN}")
                if scheme == "light":
                    window.goto(f"{page.address}/?level=low&scanner=suid_sgid")
                    for _ in range(2):
                        window.locator(".open").last.click()
                        window.locator("[value=approve]").click()
                        window.locator(".done").wait_for()
                        window.get_by_role("link", name="Queue", exact=True).click()
                        window.locator(".list").wait_for()
                    window.keyboard.press("j")
                    window.screenshot(path=images / "review-list.png")
                else:
                    window.locator(".open").nth(1).click()
                    window.locator("form.decide").wait_for()
                    window.keyboard.press("c")
                    window.keyboard.press("3")
                    window.screenshot(path=images / "review-finding.png")
        browser.close()


if __name__ == "__main__":
    main()
