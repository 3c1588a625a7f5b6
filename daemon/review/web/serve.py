"""Serves the page until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator

from uvicorn import Config, Server

from daemon.notify import Notifier
from daemon.review.web.app import Reviewing
from daemon.review.web.desk import Desk
from daemon.review.web.listening import Listening
from daemon.review.web.peers import Connection
from daemon.review.web.session import Sessions
from pipeline.display import printable

_MAX_REQUEST = 16 << 10  # bytes of first line and headers
_MAX_CONNECTIONS = 128
_IDLE_S = 60  # a connection may wait for its next request
_GRACE_S = 5


def serve(listening: Listening, desk: Desk, author: str, say: Callable[[str], None]) -> None:
    """Serve, until SIGTERM or SIGINT.

    Args:
        author: who decides where connections do not say which user they are from.
        say: tells the person who has started it where the page is.
    """
    token = None if listening.names_peers else secrets.token_urlsafe(24)
    if token is None:
        say(f"The page is at {listening.where}, a UNIX socket; docs/review.md says how a browser gets there.")
    else:
        say(f"The page is at http://{listening.where}/enter?token={token}")
        say(f"Whoever has this address decides as {printable(author)}. Ctrl-C ends it.")
    asyncio.run(_until_told(server(listening, desk, author, token), listening))


def server(listening: Listening, desk: Desk, author: str, token: str | None) -> Server:
    """Make what serves; it is told to stop by its `should_exit`.

    Args:
        token: what a browser has to bring where connections do not say which user they are from.
    """
    config = _Config(
        Reviewing(desk, Sessions(time.monotonic), author, token).asgi, http=Connection, ws="none", lifespan="off",
        log_config=None, access_log=False, proxy_headers=False, server_header=False,
        h11_max_incomplete_event_size=_MAX_REQUEST, limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    config.names_peers = listening.names_peers
    log = logging.getLogger("uvicorn")  # what matters of a request is logged by us
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    log.propagate = False
    return _Server(config)


class _Config(Config):
    """Uvicorn's settings, and whether connections say which user they are from."""

    names_peers = False


class _Server(Server):
    """Uvicorn's server, which would end as if killed by the signal that tells it to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs it."""
        yield


async def _until_told(server: Server, listening: Listening) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    notifier = Notifier(os.environ)
    notifier.status(f"Serving {listening.where}")
    notifier.ready()  # the socket listens already, and keeps who comes before the first answer
    await server.serve(sockets=[listening.socket])
    notifier.stopping()
