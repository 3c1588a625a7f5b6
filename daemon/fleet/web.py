"""Serves the page and the metrics, to this machine alone."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from daemon.fleet.style import POLICY
from daemon.meant import names_this_machine
from pipeline.errors import ConfigError

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MAX_REQUEST = 4096  # bytes of its first line, and of each header


class Web:
    """One listening socket."""

    def __init__(self, listen: str, pages: Mapping[str, tuple[str, Callable[[], tuple[int, str]]]]) -> None:
        """Args:
        listen: HOST:PORT; 0 takes any free port.
        pages: by path: the type of the content, and what makes status and content.
        """
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._pages = pages
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: when the address cannot be had.
        """
        server = web.Application(middlewares=[_guard], client_max_size=0)
        for path, (kind, make) in self._pages.items():
            server.router.add_get(path, _handler(kind, make))
        server.on_response_prepare.append(_harden)
        self._runner = web.AppRunner(
            server, access_log=None, handle_signals=False, max_line_size=_MAX_REQUEST, max_field_size=_MAX_REQUEST,
            keepalive_timeout=15.0, lingering_time=0.0,
        )  # fmt: skip
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, backlog=16, shutdown_timeout=2.0).start()
        except OSError as error:
            raise ConfigError(f"fleet.listen: {self._host}:{self._port}: {error.strerror or error}") from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket."""
        if self._runner is not None:
            await self._runner.cleanup()


@web.middleware  # type: ignore[untyped-decorator, unused-ignore]
async def _guard(request: Any, handler: Any) -> Any:
    if not names_this_machine(request.headers.get("Host")):
        return web.Response(status=421, text="this is not the name of this machine\n")
    return await handler(request)


async def _harden(request: Any, response: Any) -> None:
    response.headers.update(_HEADERS)
    response.headers.pop("Server", None)


def _handler(kind: str, make: Callable[[], tuple[int, str]]) -> Any:
    async def handle(request: Any) -> Any:
        status, text = make()
        return web.Response(
            status=status, body=text.encode("utf-8", "backslashreplace"), headers={"Content-Type": kind}
        )

    return handle
