"""Serves metrics and health over HTTP, to this machine alone.

The standard library's server on threads of its own asks the loop for what to say, so that a loop that stands still
shows: nothing is answered well in its place. docs/metrics.md has the paths.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, ThreadingMixIn
from typing import Any

from daemon.meant import names_this_machine
from daemon.sockets import listen_on_loopback, listen_on_path

PATHS = ("/metrics", "/healthz", "/readyz")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE_S = 5.0  # for the loop: twenty of its longest steps
_REQUEST_S = 10.0  # for a whole request
_AT_ONCE = 16

Answer = tuple[int, str]  # status, text


class Vitals:
    """A socket, and the threads that answer on it."""

    def __init__(self, listen: str, answer: Callable[[str], Answer]) -> None:
        """Listen, and answer from now on; for a running loop.

        Args:
            listen: path of a UNIX socket, which everybody on this machine may connect to, or HOST:PORT on loopback.
            answer: is called on the loop with one of `PATHS`.

        Raises:
            ConfigError: when that address cannot be had.
        """
        self._path = Path(listen) if listen.startswith("/") else None
        if self._path is not None:
            one = listen_on_path(self._path, mode=0o666)
        else:
            one = listen_on_loopback(listen, "metrics.listen")
        self.where = listen if self._path is not None else "{}:{}".format(*one.getsockname()[:2])
        self._server = _Server(one, self._path is None, asyncio.get_running_loop(), answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="vitals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class _Server(ThreadingMixIn, BaseServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, one: socket.socket, has_name: bool, loop: asyncio.AbstractEventLoop, answer: Callable[[str], Answer]
    ) -> None:
        super().__init__(one.getsockname(), _Handler)
        self.socket = one
        self.has_name = has_name
        self._loop = loop
        self._answer = answer
        self._lock = threading.Lock()
        self._open: dict[Any, None] = {}  # connections, the oldest first

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        return self.socket.accept()

    def server_close(self) -> None:
        self.socket.close()

    def close_request(self, request: Any) -> None:
        request.close()

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        request.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > _AT_ONCE else None
            self._open.pop(oldest, None)
        if oldest is not None:  # who says nothing keeps nobody out
            _cut(oldest)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        timer = threading.Timer(_REQUEST_S, _cut, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""

    def ask(self, path: str) -> Answer:
        """Have the loop answer."""
        said: Future[Answer] = Future()

        def say() -> None:
            if said.set_running_or_notify_cancel():
                try:
                    said.set_result(self._answer(path))
                except Exception as error:
                    said.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(say)
            return said.result(_PATIENCE_S)
        except TimeoutError:
            said.cancel()
            return 503, f"the daemon has been busy with one thing for more than {_PATIENCE_S:g} s\n"
        except Exception as error:
            return 503, f"{' '.join(str(error).split()) or type(error).__name__}\n"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"  # one request a connection
    server_version = "sysscan-agent"
    sys_version = ""
    timeout = _REQUEST_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.server.has_name and not names_this_machine(self.headers.get("Host")):
            self._say(421, "this is not the name of this machine\n")
        elif path not in PATHS:
            self._say(404, f"there are {', '.join(PATHS)}\n")
        else:
            self._say(*self.server.ask(path))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, status: int, text: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(status)
        for name, value in (
            ("Content-Type", _TEXT), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: scrapes come every few seconds."""


def _cut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
