"""A real Chromium before the page, driven by Playwright; `make browser` says where it is, else nothing is collected."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.daemon.review.web.conftest import hostile, page, scanned  # noqa: F401 - the same scans
from tests.daemon.review.web.served import TOKEN, Served

CHROMIUM = os.environ.get("CHROMIUM")

if CHROMIUM is None:  # `make test` needs no browser
    collect_ignore_glob = ["test_*.py"]


class Reader:
    """One person with a browser of their own.

    Attributes:
        errors: what a script, the policy or the network complained of.
        elsewhere: what was asked of anything but the program.
    """

    def __init__(self, window: Any, served: Served) -> None:
        self.page = window
        self.served = served
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        window.on("pageerror", lambda error: self.errors.append(str(error)))
        window.on("dialog", self._interrupted)
        window.on("console", self._heard)
        window.on("request", self._asked)

    def enter(self) -> "Reader":
        """Open the address that the program prints."""
        self.page.goto(f"{self.served.address}/enter?token={TOKEN}")
        return self

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def until(self, what: str) -> Any:
        """Wait until something is to be seen: a text, or a selector in brackets, such as ``[form.decide]``."""
        found = self.page.locator(what[1:-1]) if what.startswith("[") else self.page.get_by_text(what)
        found.first.wait_for()
        return found.first

    def open(self, path: str) -> None:
        """Go to an address within the program."""
        self.page.goto(f"{self.served.address}{path}")

    def _interrupted(self, dialog: Any) -> None:
        self.errors.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _heard(self, message: Any) -> None:
        # That an answer was a refusal is no error of the page.
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            self.errors.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(f"{self.served.address}/"):
            self.elsewhere.append(request.url)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Root may not use Chromium's own sandbox; what is opened here is ours.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


Sit = Callable[..., Reader]


@pytest.fixture
def sit(chromium: Any) -> Iterator[Sit]:
    """Have a person sit down at a browser; afterwards nothing may have gone wrong in it."""
    contexts: list[Any] = []
    readers: list[Reader] = []

    def down(served: Served, *, width: int = 1280, height: int = 860, **options: Any) -> Reader:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        readers.append(Reader(context.new_page(), served))
        return readers[-1].enter()

    yield down
    for context in contexts:
        context.close()
    for reader in readers:
        assert reader.errors == [] and reader.elsewhere == []
