"""A model server on this machine, as small as one can be that speaks OpenAI's interface, and with faults to choose."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DRIPS_S = 0.05  # between two letters of a server that takes its time
FORMS = ("json_schema", "json_object")


class ModelServer:
    """What the server does next, and what it was asked.

    Attributes:
        fault: of its answers; None for none. `models`: what it says that it has.
        form: the only way of giving a schema that it takes.
        asked: the bodies of the questions; `looks` counts the questions which models there are.
    """

    def __init__(self, form: str = "json_schema") -> None:
        self.fault: str | None = None
        self.form = form
        self.models: list[dict[str, Any]] = [{"id": "tiny", "object": "model", "owned_by": "tests"}]
        self.asked: list[dict[str, Any]] = []
        self.looks = 0
        self.address = ""

    def reply(self, body: dict[str, Any]) -> tuple[int, object]:
        """Give status and body of the answer to a question."""
        self.asked.append(body)
        given = body["response_format"]
        if given["type"] != self.form:
            return 422, {"error": {"message": f"response_format: {given['type']} is not known\nhere"}}
        text = json.dumps(_least(given["json_schema"]["schema"] if self.form == "json_schema" else given["schema"]))
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        if self.fault == "lies":
            choice["message"]["content"] = "Hello! How can I help?"
        elif self.fault == "beyond":
            choice["message"]["content"] = f"Sure, here it is:\n{text}\nAnything else?"
        elif self.fault == "cut":
            choice |= {"message": {"content": text[:9]}, "finish_reason": "length"}
        elif self.fault == "wordless":
            choice["message"]["content"] = None
        elif self.fault == "empty":
            return 200, {"choices": []}
        elif self.fault == "broken":
            return 500, {"error": {"message": "out of memory"}}
        elif self.fault == "refuses":
            return 400, {"error": {"message": "the prompt exceeds the context"}}
        return 200, {"choices": [choice], "usage": {"total_tokens": 40}}


def _least(schema: dict[str, Any]) -> dict[str, Any]:
    """Make the least that a schema of ours allows."""
    made: dict[str, Any] = {}
    for name, rule in schema["properties"].items():
        made[name] = rule["enum"][0] if "enum" in rule else f"It is {name}." if "minLength" in rule else ""
    return made


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.looks += 1
            self._send(200, {"object": "list", "data": [{**one, "created": time.time()} for one in server.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(*server.reply(body))

        def _send(self, status: int, body: object) -> None:
            if server.fault == "redirects":
                self.send_response(307)
                self.send_header("Location", f"http://192.0.2.1{self.path}")
                self.end_headers()
                return
            data = json.dumps(body).encode()
            if server.fault == "no JSON":
                data = b"<html>\nhello</html>"
            elif server.fault == "huge":
                data = b"[" + b" " * (2 << 20) + b"]"
            self.send_response(status)
            self.end_headers()
            try:
                if server.fault == "hangs":
                    while not self.wfile.closed:
                        time.sleep(DRIPS_S)
                        self.wfile.write(b" ")
                        self.wfile.flush()
                self.wfile.write(data)
            except OSError:  # whoever asked has gone
                return

        def address_string(self) -> str:
            return "here"

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


class _OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(form: str = "json_schema", socket: Path | None = None) -> Iterator[ModelServer]:
    """Run one on loopback, or on a UNIX socket."""
    server = ModelServer(form)
    listener: socketserver.BaseServer
    if socket is not None:
        listener = _OnSocket(str(socket), _handler(server))
        server.address = f"unix:{socket}"
    else:
        listener = http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
        server.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
