"""A page that is served, and a browser without a screen: real sockets, cookies, and forms as they stand in the page."""

import asyncio
import contextlib
import functools
import http.client
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

from daemon.review.web.desk import Desk
from daemon.review.web.listening import listening
from daemon.review.web.serve import server
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Verdict
from tests.daemon.cli.invoke import SCANS, in_a_process

TOKEN = "the-token-of-the-test"
ALICE = "alice"
PATIENCE_S = 60.0
# What ends an attribute, an element, a text field; runs as a script; fetches; is a template; acts on a terminal.
HOSTILE = (
    "\"'><script>document.title='owned'</script><img src=http://192.0.2.1/x onerror=\"document.title='owned'\">"
    "</textarea></title>{{7*7}}{%raw%}\x1b]0;owned\x07\u202eexe.&lt;javascript:alert(1)"
)


def scan(directory: Path, name: str, host: str | None = None) -> None:
    """Have the daemon take in a real report, as of another host, in a directory that may hold others."""
    document = json.loads((SCANS / name).read_text())
    if host is not None:
        document["meta"]["hostname"] = host
    reports = directory / "in"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / f"{len(list(reports.iterdir()))}.json").write_text(json.dumps(document))
    take_in(directory)


def take_in(directory: Path) -> None:
    """Have the daemon take in what lies there."""
    ended = in_a_process(
        "run", "--once", "-w", str(directory / "in"), "--state-dir", str(directory / "state"),
        SYSSCAN_MODEL__ENABLED="false",
    )  # fmt: skip
    assert ended.code == 0, ended.err


def hostile_report(name: str) -> str:
    """Give a real report in which the host chose every string that a host can choose."""

    def poisoned(value: object) -> object:
        if isinstance(value, dict):
            return {key: poisoned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        if isinstance(value, str):
            for path in ("/usr/local/bin/updater", "/tmp/.cache-helper", "xmrig"):
                value = value.replace(path, f"/tmp/{HOSTILE}" if path.startswith("/") else HOSTILE)
        return value

    document = json.loads((SCANS / name).read_text())
    document["results"] = poisoned(document["results"])
    document["meta"]["hostname"] = f"web{HOSTILE}"
    first = next(result for result in document["results"] if result["findings"])["findings"][0]
    first["title"], first["description"] = f"Title {HOSTILE}", f"Description {HOSTILE}"
    first["metadata"] = {**first.get("metadata", {}), "extra": HOSTILE, HOSTILE: "a value"}
    return json.dumps(document)


class Served:
    """The page over a state directory, in a thread of its own."""

    def __init__(self, state: Path, where: str = "127.0.0.1:0", author: str = ALICE) -> None:
        self.state = state
        self.where = ""
        self._arguments = (where, author)
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        where, author = self._arguments
        try:
            with contextlib.closing(Desk(self.state, _knowledge())) as desk, listening(where, None, {}) as one:
                self.where = one.where
                self._server = server(one, desk, author, None if one.names_peers else TOKEN)
                self._started.set()
                asyncio.run(self._server.serve(sockets=[one.socket]))
        except BaseException as error:
            self._failed = error
            self._started.set()
            raise

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{self.where}"

    def verdicts(self) -> list[Verdict]:
        """Give what was decided."""
        return verdicts(self.state)


@functools.cache
def _knowledge() -> Knowledge:
    return load_knowledge(load_features)


def verdicts(state: Path) -> list[Verdict]:
    """Give what was decided, by whatever means."""
    if not (state / FILE_NAME).exists():
        return []
    with VerdictLog.open(state / FILE_NAME, read_only=True) as log:
        return [verdict for verdict, _ in log.verdicts()]


@dataclass
class Form:
    """A form of a page: what would be sent as it stands, and its buttons."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)

    def filled(self, /, **values: str) -> list[tuple[str, str]]:
        """Fill it in; names have ``_`` for ``-``, and what is not a field of it is added, as a button is."""
        given = {name.replace("_", "-"): value for name, value in values.items()}
        kept = [(name, given.pop(name, value)) for name, value in self.fields]
        return [*kept, *given.items()]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._form: Form | None = None
        self._select = ""
        self._text: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and given.get("method") != "dialog":
            self._form = Form(given["action"], given["method"])
            self.found.append(self._form)
        form, name, value = self._form, given.get("name", ""), given.get("value", "")
        if form is None or not (name or tag == "option"):
            return
        if tag == "input" and given.get("type") in ("radio", "checkbox"):
            form.choices.setdefault(name, []).append(value)
            if "checked" in given:
                form.fields.append((name, value))
        elif tag == "input":
            form.fields.append((name, value))
        elif tag == "button":
            form.buttons.append((name, value))
        elif tag == "textarea":
            self._text = name, []
        elif tag == "select":
            self._select = name
            form.fields.append((name, ""))
        elif tag == "option" and self._select:
            form.choices.setdefault(self._select, []).append(value)
            if "selected" in given:
                form.fields[-1] = self._select, value

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None and self._form is not None:
            self._form.fields.append((self._text[0], "".join(self._text[1])))
            self._text = None
        elif tag == "select":
            self._select = ""
        elif tag == "form":
            self._form = None


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str
    address: str

    @property
    def main(self) -> str:
        """What the page is about, without what every page has."""
        return self.text.partition("<main")[2].partition("</main>")[0]

    @property
    def words(self) -> str:
        """The text without marks, blanks as one."""
        return " ".join(re.sub(r"<[^>]*>", " ", self.main).replace("&#39;", "'").split())

    def forms(self) -> list[Form]:
        """Give the forms of the page."""
        parser = _Forms()
        parser.feed(self.text)
        return parser.found

    @property
    def listed(self) -> list[str]:
        """The situations that a list shows, in order."""
        return next((form.choices["key"] for form in self.forms() if form.action == "/many"), [])

    @property
    def deciding(self) -> Form:
        """The form that decides."""
        (found,) = [one for one in self.forms() if any(name == "kind" for name, _ in one.buttons)]
        return found

    def links(self, beginning: str) -> list[str]:
        """Give the addresses within the page that begin so."""
        return [
            one.replace("&amp;", "&") for one in re.findall(r'href="([^"]*)"', self.main) if one.startswith(beginning)
        ]


class Client:
    """A browser of one person: keeps cookies, follows redirects, says where forms are from."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.host = "localhost" if "/" in where else where
        self.cookies: dict[str, str] = {}

    def enter(self, token: str = TOKEN) -> "Client":
        """Open the address that the program prints."""
        assert self.get(f"/enter?token={token}").status == 200
        return self

    def get(self, path: str, **headers: str) -> Answer:
        """Open an address."""
        return self.ask("GET", path, None, headers)

    def send(self, form: Form, /, **values: str) -> Answer:
        """Fill in a form and send it."""
        fields = form.filled(**values)
        if form.method == "get":
            return self.get(f"{form.action}?{urlencode([pair for pair in fields if pair[1]])}")
        return self.post(form.action, fields)

    def post(self, path: str, fields: Sequence[tuple[str, str]] | bytes, **headers: str) -> Answer:
        """Send fields, as a form of ours does."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        given = {"Origin": f"http://{self.host}", "Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", path, body, given)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, follow: bool = True
    ) -> Answer:
        """Send one request; header names have ``_`` for ``-``, and an empty value leaves a header out."""
        connection = self._connection()
        given = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            given["Content-Length"] = str(len(body))
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode()
        said = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        if cookie := re.match(r"([^=]+)=([^;]*)", said.get("set-cookie", "")):
            self.cookies[cookie[1]] = cookie[2]
        if follow and answer.status == 303:
            return self.get(said["location"])
        return Answer(answer.status, said, text, path)

    def _connection(self) -> http.client.HTTPConnection:
        if "/" not in self.where:
            return http.client.HTTPConnection(self.where, timeout=PATIENCE_S)
        made = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.settimeout(PATIENCE_S)
        made.sock.connect(self.where)
        return made


@contextlib.contextmanager
def served(state: Path, where: str = "127.0.0.1:0", author: str = ALICE) -> Iterator[Served]:
    """Serve a state directory."""
    one = Served(state, where, author)
    try:
        yield one
    finally:
        one.close()


def copied(scanned: Path, to: Path) -> Path:
    """Copy what was scanned once, for a test that decides; returns the state directory."""
    shutil.copytree(scanned, to)
    return to / "state"


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
