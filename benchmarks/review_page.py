"""How long a reviewer waits for a page, in processor time: `benchmarks/review.py` measures with it.

Each request goes through the whole application, guard, session, view and template; what Uvicorn adds to it is a
millisecond.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import closing
from html import unescape
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from daemon.review.web.app import Reviewing
from daemon.review.web.desk import Desk
from daemon.review.web.session import Sessions
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge

_TOKEN = "t"
_HOST = "127.0.0.1:1"


class Browser:
    """Asks the application without a socket."""

    def __init__(self, desk: Desk) -> None:
        self._app = Reviewing(desk, Sessions(time.monotonic), "bench", _TOKEN).asgi
        self._cookie = b""
        self.ask("GET", f"/enter?token={_TOKEN}")

    def ask(self, method: str, address: str, fields: list[tuple[str, str]] | None = None) -> tuple[int, str, str]:
        """Send a request; returns status, text, and where it leads."""
        path, _, query = address.partition("?")
        headers = [(b"host", _HOST.encode()), (b"origin", f"http://{_HOST}".encode()), (b"cookie", self._cookie),
                   (b"content-type", b"application/x-www-form-urlencoded")]  # fmt: skip
        scope: dict[str, Any] = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": headers, "scheme": "http", "http_version": "1.1", "server": None, "client": None,
            "root_path": "", "state": {},
        }  # fmt: skip
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": urlencode(fields or []).encode(), "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        async def answer() -> None:
            await self._app(scope, receive, send)

        asyncio.run(answer())
        given = dict(said[0]["headers"])
        if cookie := given.get(b"set-cookie"):
            self._cookie = cookie.partition(b";")[0]
        text = b"".join(one.get("body", b"") for one in said[1:]).decode()
        return said[0]["status"], text, given.get(b"location", b"").decode()


def page_costs(state: Path, runs: int, show: Callable[[str, Callable[[], object]], None]) -> None:
    """Time what a person does on the page: as it is when something has just been decided, so with nothing kept."""
    with closing(Desk(state, load_knowledge(load_features))) as desk:
        browser = Browser(desk)

        def fresh(address: str) -> object:
            desk.decided()  # what was kept is made anew, as after a verdict
            status, text, _ = browser.ask("GET", address)
            assert status == 200, text[:200]
            return text

        show("page: list", lambda: fresh("/"))
        show("page: filter by class", lambda: fresh("/?class=made.up_1*"))
        show("page: filter by level and scanner", lambda: fresh("/?level=high&scanner=scanner3"))
        texts, levels = count(), cycle(("", "info", "low", "medium", "high", "critical"))
        show("page: search every line for a text", lambda: fresh(f"/?q=no+such+text+{next(texts)}"))
        show("page: search for a word that all lines have", lambda: fresh(f"/?q=web01&level={next(levels)}"))
        show("page: search for a path of one line", lambda: fresh(f"/?q=made/up/{next(texts) + 5000}/"))
        show("page: search for words that stand together nowhere", lambda: fresh(f"/?q=web01+{next(texts)}+web01"))
        show("page: the same search, after a verdict", lambda: fresh("/?q=no+such+text+0"))
        show("page: the list again", lambda: browser.ask("GET", "/"))
        links = [unescape(one) for one in re.findall(r'class="open" href="([^"]*)"', str(fresh("/")))]
        show("page: a finding", lambda: fresh(links[0]))

        def decide() -> object:
            """Send a form, and draw the next finding."""
            status, _, onward = browser.ask("POST", *forms.pop())
            assert status == 303
            return browser.ask("GET", onward)

        forms = []
        for link in links[: 2 * runs]:
            text = browser.ask("GET", link)[1]
            form = text.partition('<form class="decide"')[2].partition("</form>")[0]
            hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
            fields = [(name, unescape(value)) for name, value in hidden]
            forms.append((unescape(form.partition('action="')[2].partition('"')[0]),
                          [*fields, ("scope", "host"), ("kind", "approve")]))  # fmt: skip
        show("page: a verdict on a situation, and the next finding", decide)
        keys = urlencode([("key", key) for key in re.findall(r'name="key" value="([^"]*)"', str(fresh("/")))])
        show("page: 50 situations to decide on at once", lambda: fresh(f"/many?{keys}"))
        show("page: history", lambda: fresh("/history"))
