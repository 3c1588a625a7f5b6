"""A web server that takes records, counts them by key, and fails as it is told to. Plain or with TLS."""

import gzip
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """Attributes:
    status: that it answers with.
    takes: whether it takes the records before it answers.
    how: it answers; ``cut``: half of the answer; ``chunks``, ``cut chunks``: the same in pieces of no known number;
        ``drop``: the connection ends while the request is read; ``slow``: a letter now and then, and no end;
        ``silent``: no answer, and no end.
    """

    status: int = 200
    takes: bool = True
    how: str = "whole"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


def failing(status: int, *, takes: bool = False, **headers: str) -> Answer:
    return Answer(status, takes, headers={name.replace("_", "-"): value for name, value in headers.items()})


class TakingServer:
    """Attributes:
    answers: for the next requests; when there are none, all is well.
    requests: that were read whole.
    times: how often each key was taken.
    kept: the record of each key as it was taken first, in that order: what a receiver that knows keys has.
    judge: says of a body's records, by their keys, why one is not taken; None: it is.
    """

    def __init__(self, *, bulk: bool = False, context: ssl.SSLContext | None = None) -> None:
        self.bulk = bulk
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.times: Counter[str] = Counter()
        self.kept: dict[str, bytes] = {}
        self.judge: Callable[[bytes], tuple[int, str] | None] = lambda line: None
        self.most_bytes = 1 << 30
        self.reverses = False
        self.gone = threading.Event()
        self.lock = threading.Lock()
        self._context = context
        self._server: ThreadingHTTPServer | None = None
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]

    def __enter__(self) -> "TakingServer":
        self.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.gone.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://localhost:{self.port}"

    def start(self) -> None:
        """Listen, at the same port as before."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        if self._context is not None:
            self._server.socket = self._context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: nobody listens."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, body: bytes) -> bytes:
        """Take the records of a request; returns the answer."""
        return self._take_bulk(body) if self.bulk else self._take_lines(body)

    def refusal(self, body: bytes) -> tuple[int, str] | None:
        """Say why a request is refused as a whole."""
        if len(body) > self.most_bytes:
            return 413, "too large"
        if self.bulk:
            return None
        return next((found for line in _lines(body) if (found := self.judge(line)) is not None), None)

    def _take_lines(self, body: bytes) -> bytes:
        for line in _lines(body):
            self._keep(key_of(line), line)
        return b"{}"

    def _take_bulk(self, body: bytes) -> bytes:
        lines = body.splitlines()
        items: list[dict[str, Any]] = []
        for action, line in zip(lines[::2], lines[1::2], strict=True):
            ((verb, target),) = json.loads(action).items()
            assert verb == "create"
            found = self.judge(line)
            status, error = 201, None
            if target["_id"] in self.kept:
                status, error = 409, {"type": "version_conflict_engine_exception", "reason": "document already exists"}
            elif found is not None:
                status, error = found[0], {"type": "document_parsing_exception", "reason": found[1]}
            else:
                self._keep(target["_id"], line)
            items.append({verb: {"_id": target["_id"], "status": status, **({"error": error} if error else {})}})
        if self.reverses:
            items.reverse()
        return json.dumps({"errors": any("error" in one["create"] for one in items), "items": items}).encode()

    def _keep(self, key: str, line: bytes) -> None:
        self.times[key] += 1
        self.kept.setdefault(key, line)


def key_of(line: bytes) -> str:
    """Read the key of a record."""
    record = json.loads(line)
    return str(record.get("dedupe_key") or record.get("event", {}).get("id") or record.get("n"))


def _lines(body: bytes) -> list[bytes]:
    if body[:1] == b"[":
        return [json.dumps(one, separators=(",", ":")).encode() for one in json.loads(body)]
    return body.splitlines()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: connections are broken on purpose."""


class _Handler(BaseHTTPRequestHandler):
    owner: TakingServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._answer(Answer(body=b'{"version":{"distribution":"opensearch","number":"2.19.0"}}'), b"")

    def do_POST(self) -> None:
        owner = self.owner
        with owner.lock:
            answer = owner.answers.pop(0) if owner.answers else Answer()
        length = int(self.headers["Content-Length"])
        if answer.how == "drop":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with owner.lock:
            owner.requests.append(Request("POST", self.path, dict(self.headers), body))
            refused = owner.refusal(body) if answer.takes else None
            said = owner.take(body) if answer.takes and refused is None else b'{"error":"no"}'
        if refused is not None:
            answer, said = Answer(refused[0]), json.dumps({"error": refused[1]}).encode()
        self._answer(answer, said)

    def _answer(self, answer: Answer, said: bytes) -> None:
        if answer.how == "silent":
            self.owner.gone.wait()
            return
        body = said if answer.body is None else answer.body
        if answer.how in ("chunks", "cut chunks"):
            self.send_response_only(answer.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 7):
                piece = body[at : at + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if answer.how == "chunks":
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (100 if answer.how in ("cut", "slow") else 0)))
        self.end_headers()
        self.wfile.write(body)
        while answer.how == "slow" and not self.owner.gone.is_set():
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.02)
        if answer.how == "cut":
            self.close_connection = True
