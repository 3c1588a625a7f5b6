"""Indexes records in OpenSearch or Elasticsearch, each under its key."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from daemon.sinks.network.courier import NetworkSink
from daemon.sinks.network.items import Item, item_maker
from daemon.sinks.network.secrets import read_secret, shown
from daemon.sinks.network.sending import HttpClient, Refusal, Sending, ascii_only
from daemon.sinks.opensearch.settings import OpenSearchSettings
from pipeline.engine.reading import parse_json
from pipeline.errors import SinkError

_MOST_BYTES = 32 << 20  # of an answer: 10,000 items with a reason each
# What is read of an answer; without it an answer repeats much of what was sent.
_FILTER = "errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
_TAKEN = frozenset({200, 201})
_MOST_ID_BYTES = 512  # the server's own bound


def open_opensearch(settings: OpenSearchSettings) -> NetworkSink:
    """Make the sink. Nothing is connected before the first record."""
    name = f"opensearch:{settings.name}"
    bulk = Bulk(settings, name)
    return NetworkSink(name, item_maker(settings, settings.mapping), Sending(settings, name, bulk, bulk.size))


class Bulk:
    """Sends one `_bulk` request for each batch.

    Each record is *created* under its key, so one that is there already is left alone and counts as taken: however
    often a record is sent, there is one document of it. Only so can data streams be written to, too.
    """

    def __init__(self, settings: OpenSearchSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        path = settings.address.path.rstrip("/")
        pipeline = f"&pipeline={quote(settings.pipeline, safe='')}" if settings.pipeline is not None else ""
        self._path = f"{path}/_bulk?filter_path={_FILTER}{pipeline}"
        self._client = HttpClient(settings, name)

    def size(self, item: Item) -> int:
        """Count the bytes of a record in a request."""
        return len(self._pair(item))

    def __call__(self, batch: Sequence[Item]) -> Sequence[Refusal]:
        """Send; returns the records that are refused by themselves.

        Raises:
            SinkError: when the request was not taken, a record was not taken for want of room, or the answer is no
                answer to this request. All may be sent again.
        """
        said, secrets = authorization(self._settings, self._name)
        headers = {"Content-Type": "application/x-ndjson", **said}
        body = b"".join(self._pair(item) for item in batch)
        reply = self._client.ask("POST", self._path, body, headers, secrets, most=_MOST_BYTES)
        return self._outcome(batch, reply.data, secrets)

    def _pair(self, item: Item) -> bytes:
        action = {"create": {"_index": self._settings.index.replace("{kind}", item.kind), "_id": document_id(item.key)}}
        return orjson.dumps(action) + b"\n" + item.line + b"\n"

    def _outcome(self, batch: Sequence[Item], data: bytes, secrets: Sequence[str]) -> list[Refusal]:
        by_id = {document_id(item.key): item for item in batch}
        outcomes = self._read(data)
        if {one.get("_id") for one in outcomes} != by_id.keys():
            raise SinkError(f"{self._name}: the answer is not about the records that were sent; they are sent again")
        # By the id and not by the place: what stands between may have put them in another order.
        found = {str(one["_id"]): one for one in outcomes}
        refusals: list[Refusal] = []
        for id_, item in by_id.items():
            status, reason = _status(found[id_]), shown(_reason(found[id_]), secrets)
            if status in _TAKEN or (status == 409 and "version_conflict" in reason):
                continue
            if status == 429 or status >= 500:
                raise SinkError(f"{self._name}: cannot take all records now ({status}: {reason}); they wait")
            if status in (401, 403, 404):  # about who sends, or an index that is not made by itself
                raise SinkError(
                    f"{self._name}: refuses to write ({status}: {reason}); see that the index is there or may be made, "
                    "and what the credentials are allowed to",
                    wait_s=30.0,
                )
            refusals.append(Refusal(item, f"{status}: {reason}"))
        return refusals

    def _read(self, data: bytes) -> list[dict[str, Any]]:
        """Read the outcome of each record.

        Raises:
            SinkError: if it is no answer to `_bulk`.
        """
        try:
            said = parse_json(data)
            return [{**outcome} for item in said["items"] for outcome in item.values()]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SinkError(
                f"{self._name}: the answer is none of a _bulk request; see that url is OpenSearch's or Elasticsearch's"
            ) from error


def authorization(settings: OpenSearchSettings, name: str) -> tuple[dict[str, str], list[str]]:
    """Give the header of an API key, where there is one, and the secret in it.

    Raises:
        SinkError: if it cannot be read.
    """
    if settings.api_key_file is None:
        return {}, []
    key = read_secret(f"{name}: api_key_file", settings.api_key_file)
    return {"Authorization": f"ApiKey {ascii_only(name, key)}"}, [key]


def document_id(key: str) -> str:
    """Give the id of a record: its key, which is shorter than the server's bound."""
    return key.encode(errors="backslashreplace")[:_MOST_ID_BYTES].decode(errors="ignore")


def _status(outcome: dict[str, Any]) -> int:
    status = outcome.get("status")
    return status if isinstance(status, int) else 500


def _reason(outcome: dict[str, Any]) -> str:
    error = outcome.get("error")
    if not isinstance(error, dict):
        return str(error) if error else "without a word"
    cause = error.get("caused_by")
    parts = [error.get("type"), error.get("reason"), cause.get("reason") if isinstance(cause, dict) else None]
    return ": ".join(str(part) for part in parts if part)
