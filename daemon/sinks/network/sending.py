"""Sends records by HTTP: what an answer means, smaller requests where one is too large, and records nobody takes."""

import base64
import http
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.log import get_logger
from daemon.sinks.network.courier import Done
from daemon.sinks.network.dead_letters import DeadLetters
from daemon.sinks.network.exchange import Reply, exchange
from daemon.sinks.network.items import Item, in_batches
from daemon.sinks.network.secrets import read_secret, shown
from daemon.sinks.network.settings import HttpAccess
from daemon.sinks.network.tls import client_context
from pipeline.errors import SinkError

logger = get_logger(__name__)

_OF_THE_RECORDS = frozenset({400, 409, 413, 422})  # answers to what was sent; other refusals are to whoever sends it
_PASSING = frozenset({408, 425, 429})
_IN_A_ROW = 20  # records that go to the dead letters one after another; with more it is not the records
_WAIT_S = 60.0  # after an answer that will not change until a person does something


class RequestRefused(SinkError):
    """Raised when the other side refuses a request for what is in it."""


@dataclass(slots=True, frozen=True)
class Refusal:
    """One record of a request that the other side does not take, though it took the request."""

    item: Item
    reason: str


Post = Callable[[Sequence[Item]], Sequence[Refusal]]  # raises `RequestRefused`, or another `SinkError`


class HttpClient:
    """Asks one address, as whom the settings say. Secrets and certificates are read anew for every request."""

    def __init__(self, settings: HttpAccess, name: str) -> None:
        """`name` is the sink's, for people."""
        self._settings = settings
        self._name = name
        self._url = settings.address

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        secrets: Sequence[str] = (),
        *,
        most: int,
    ) -> Reply:
        """Send a request; returns an answer with a status of success.

        Args:
            secrets: further ones that no message may repeat.
            most: bytes that the answer may have.

        Raises:
            RequestRefused: when what is in the request is refused.
            SinkError: for everything else that is no success.
        """
        said, credentials = self._credentials()
        known = (*secrets, *credentials)
        sent = {"User-Agent": "sysscan-agent", "Accept": "application/json", **said, **headers}
        try:
            context = client_context(self._settings) if self._url.tls else None
            reply = exchange(
                self._url, context, method, path, body, sent, timeout_s=self._settings.timeout_s, most=most
            )
        except SinkError as error:
            raise SinkError(f"{self._name}: {error}", wait_s=error.wait_s) from error
        if 200 <= reply.status < 300:
            return reply
        raise self._meaning(reply, known)

    def _meaning(self, reply: Reply, secrets: Sequence[str]) -> SinkError:
        status = reply.status
        where = f"{self._name}: {self._url.place}"
        named = f"{status} {http.HTTPStatus(status).phrase}" if status in set(http.HTTPStatus) else str(status)
        words = shown(reply.data[:2000].decode(errors="replace"), secrets)
        told = f"{named}: {words}" if words else named
        if status in _PASSING or status >= 500:
            return SinkError(f"{where}: cannot take records now ({told}); they wait", wait_s=reply.retry_after_s)
        if 300 <= status < 400:
            return SinkError(
                f"{where}: redirects ({named}), which is not followed; set url to where it leads", wait_s=_WAIT_S
            )
        if status in _OF_THE_RECORDS:
            return RequestRefused(told)
        if status in (401, 403, 407):
            advice = "see that the credentials are right and may write there"
        else:
            advice = "see that url is right, and that records may be sent there"
        return SinkError(f"{where}: refuses ({told}); {advice}", wait_s=max(reply.retry_after_s, _WAIT_S))

    def _credentials(self) -> tuple[dict[str, str], list[str]]:
        settings = self._settings
        if settings.password_file is not None:
            password = read_secret(f"{self._name}: password_file", settings.password_file)
            pair = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}, [password, pair]
        if settings.token_file is not None:
            token = read_secret(f"{self._name}: token_file", settings.token_file)
            return {"Authorization": f"Bearer {ascii_only(self._name, token)}"}, [token]
        return {}, []


def ascii_only(name: str, secret: str) -> str:
    """Give a secret that goes into a header.

    Raises:
        SinkError: if it has signs that no header has.
    """
    if not secret.isascii():
        raise SinkError(f"{name}: a token and a key are ASCII; see what the file holds", wait_s=_WAIT_S)
    return secret


class Sending:
    """Sends records in batches, in order.

    A batch that is refused as a whole is cut in halves until the record is found that is refused by itself. That one
    goes to the dead letters where there is a file for them, and the rest goes on; else it holds the sink.
    """

    def __init__(self, settings: HttpAccess, name: str, post: Post, size: Callable[[Item], int]) -> None:
        """Args:
        post: sends one request.
        size: bytes of a record in it.
        """
        self._settings = settings
        self._name = name
        self._post = post
        self._size = size
        self._letters = DeadLetters(settings.dead_letter, name) if settings.dead_letter is not None else None
        self._in_a_row = 0

    def __call__(self, items: Sequence[Item], done: Done) -> None:
        """Send; `done` is told how far everything has been taken.

        Raises:
            SinkError: when it stopped there.
        """
        for batch in in_batches(items, self._settings.batch_records, self._settings.batch_bytes, self._size):
            self._take(batch, done)

    def _take(self, batch: Sequence[Item], done: Done) -> None:
        try:
            refusals = self._post(batch)
        except RequestRefused as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._take(batch[:half], done)
                self._take(batch[half:], done)
                return
            refusals = [Refusal(batch[0], str(error))]
        if len(refusals) < len(batch):
            self._in_a_row = 0
        for refusal in refusals:
            if self._letters is None or self._in_a_row >= _IN_A_ROW:
                before = batch.index(refusal.item)
                if before:
                    done(batch[before - 1].position)
                raise self._held(refusal)
            self._letters.add(refusal.item, refusal.reason)
            self._in_a_row += 1
            logger.warning("sink.dead_letter", sink=self._name, key=refusal.item.key, reason=refusal.reason)
        done(batch[-1].position)

    def _held(self, refusal: Refusal) -> SinkError:
        item = refusal.item
        if self._letters is None:
            advice = "have it taken there, or name a file for such records in dead_letter"
        else:
            advice = f"{_IN_A_ROW} in a row were refused before, so see whether the other side is the right one"
        return SinkError(
            f"{self._name}: the {item.kind} {item.key} is refused ({refusal.reason}); it and all that follow wait: "
            f"{advice}",
            wait_s=_WAIT_S,
        )
