"""Connections: each says which user it is from, and none may dawdle."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.review.web.listening import peer_of

REQUEST_S = 20.0  # for a whole request to come; a person's browser takes milliseconds


class Connection(H11Protocol):
    """Uvicorn's, with the user at the other end of a UNIX socket in the state of each request, as `peer`."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        if self.config.names_peers:  # type: ignore[attr-defined]
            self.app_state = {**self.app_state, "peer": peer_of(transport.get_extra_info("socket"))}
        self._be_patient()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self._patience is None:
            self._be_patient()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        if not self.cycle.more_body:  # else it was answered before all of it had come
            self._be_done()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._be_done()
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        self._patience = self.loop.call_later(REQUEST_S, self._give_up)

    def _be_done(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:  # not what we are slow with
            self.transport.close()
