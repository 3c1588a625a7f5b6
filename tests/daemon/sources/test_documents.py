"""The entrance for whole documents: what a message, a pipe or a file brings, of any size and form."""

import asyncio
import errno
import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.parser import DocumentParser
from daemon.ports.inputs import Admitted, Input
from daemon.sources import documents
from daemon.sources.documents import LARGE_BYTES, SAFE_BYTES, Documents, NoParser, Spool
from pipeline.errors import LedgerError
from pipeline.keys import content_digest
from pipeline.report.limits import MIB, Limits
from tests.daemon.memory_inputs import MemoryInputs
from tests.daemon.sources.world import report, stream

NAMES = [f"f{number}" for number in range(4_000)]
LARGE = report(*NAMES)


@pytest.fixture
def parser() -> Iterator[DocumentParser]:
    made = DocumentParser(Limits())
    yield made
    made.close()


class Offered:
    """A ledger in memory, and documents that are offered to it."""

    def __init__(self, parser: DocumentParser | None, limits: Limits | None = None) -> None:
        self.inputs = MemoryInputs()
        self.documents = Documents(self.inputs, limits or Limits(), parser)
        self.told = 0

    def offer(self, document: bytes | Spool, host_key: str | None = None, as_of: str | None = None) -> Admitted:
        async def offer() -> Admitted:
            return await self.documents.admit(document, self._source, host_key, as_of, self._tell)

        self._source = self.inputs.add("messages", "topic/0")
        return asyncio.run(offer())

    def _tell(self) -> None:
        self.told += 1


@pytest.mark.parametrize("name", ["small", "large", "packed", "packed large", "lines", "wide lines", "two"])
def test_a_document_of_any_form_is_taken_in_and_its_size_does_not_show(parser: DocumentParser, name: str) -> None:
    data, names = {
        "small": (report("a", "b"), ["a", "b"]),
        "large": (LARGE, NAMES),
        "packed": (gzip.compress(report("a")), ["a"]),
        "packed large": (gzip.compress(LARGE), NAMES),
        "lines": (stream(*NAMES), NAMES),
        "wide lines": (b"\xff\xfe" + stream("a").decode().encode("utf-16-le"), ["a"]),
        "two": (LARGE + b"\n" + report("z", host="other"), [*NAMES, "z"]),
    }[name]
    offered = Offered(parser)
    admitted = offered.offer(data, "bound")
    assert offered.inputs.ids == names
    assert (admitted.findings, admitted.quarantined) == (len(names), 0)
    assert offered.inputs.hosts == ["bound"]
    is_large = len(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data) > LARGE_BYTES
    assert (parser.pid is not None) == is_large == (offered.told > 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"neither", "not_a_report"),
        (b"", "empty"),
        (LARGE[:-5], "truncated"),
        (gzip.compress(LARGE)[:-5], "truncated_gzip"),
        (gzip.compress(b" " * (40 * MIB)), "too_large"),
        (b" " * (33 * MIB), "too_large"),
        (b'{"results":3,"pad":"%b"}' % (b"x" * LARGE_BYTES), "no_results"),
    ],
)
def test_one_of_which_nothing_can_be_used_is_refused_at_once(parser: DocumentParser, data: bytes, reason: str) -> None:
    offered = Offered(parser)
    assert offered.offer(data) == Admitted(quarantined=1)
    assert offered.inputs.reasons == [reason]


def test_the_real_ledger_stores_position_host_and_time_with_it(parser: DocumentParser, tmp_path: Path) -> None:
    timeless = LARGE.replace(b'"started_at": "2026-11-02T02:10:48Z"', b'"x": 1')
    with Ledger.open(tmp_path, clock=lambda: 0.0) as ledger:
        taker = Documents(ledger.inputs, Limits(), parser)
        source = ledger.inputs.add("messages", "topic/0")

        async def script() -> None:
            for number in (1, 2):
                behind = Input(source.input_id, source.kind, source.name, f"offset {number}")
                admitted = await taker.admit(timeless, behind, "web07", "2020-01-01T00:00:00Z")
                assert (admitted.scans, admitted.redelivered_scans) == ((1, 0), (0, 1))[number - 1]
                assert [known.position for known in ledger.inputs.known("messages")] == [f"offset {number}"]

        asyncio.run(script())
        closed = ledger.work.next_scan()
        assert closed is not None
        assert (closed.host, closed.as_of, closed.findings) == ("web07", "2020-01-01T00:00:00Z", len(NAMES))
        assert ledger.fsck() == []


def test_what_the_ledger_does_not_take_may_be_offered_again(parser: DocumentParser) -> None:
    offered = Offered(parser)
    spool = Spool()
    spool.write(LARGE)
    offered.offer(report("first"))
    offered.inputs.full = True
    with pytest.raises(LedgerError):
        asyncio.run(offered.documents.admit(spool, offered._source))
    offered.inputs.full = False
    assert asyncio.run(offered.documents.admit(spool, offered._source)).findings == len(NAMES)
    assert offered.inputs.ids == ["first", *NAMES]
    spool.close()


def test_without_a_process_a_large_one_waits_and_a_safe_one_does_not(
    parser: DocumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    offered = Offered(parser)
    too_much = LARGE + b" " * SAFE_BYTES
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        assert offered.offer(LARGE).findings == len(NAMES)
        with pytest.raises(NoParser, match="Too many open files"):
            offered.offer(too_much)
    assert offered.offer(too_much).findings == len(NAMES)


def test_two_at_once_take_their_turns(parser: DocumentParser) -> None:
    one, other = Offered(parser), Offered(parser)

    async def script() -> list[Admitted]:
        sources = [each.inputs.add("messages", "topic") for each in (one, other)]
        return await asyncio.gather(
            *(each.documents.admit(LARGE, source) for each, source in zip((one, other), sources, strict=True))
        )

    assert [admitted.findings for admitted in asyncio.run(script())] == [len(NAMES)] * 2
    assert one.inputs.ids == other.inputs.ids == NAMES


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_a_spool_keeps_what_comes_in_whatever_pieces(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LARGE_BYTES", 500)
    for data in (b"", report("a"), report(*NAMES[:40])):
        with Spool() as spool:
            for start in range(0, len(data), step):
                spool.write(data[start : start + step])
            assert (spool.size, spool.digest, spool.beginning) == (len(data), content_digest(data), data[:512])
            assert (spool.descriptor is None) == (len(data) <= 500)
            held = spool.data if spool.descriptor is None else os.pread(spool.descriptor, 1 << 20, 0)
            assert held == data
