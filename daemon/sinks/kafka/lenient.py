"""Lets records be read that have a header whose name is not UTF-8.

Brokers take such a record, and aiokafka raises over it whenever the batch that holds it is read: everything behind it
would wait for ever, and nobody could say what for. So such a batch is read again by the library's slow reader, with the
bytes of such names written as escapes. All others are read as ever.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


def read_any_header() -> None:
    """Have all consumers of this process read like this from now on."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords:
    """Stands for aiokafka's reader of what a fetch has brought."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records = MemoryRecords(data)
        self._taken = 0

    def size_in_bytes(self) -> int:
        """Count the bytes."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Say whether there is another batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch | None":
        """Give the next batch."""
        batch = self._records.next_batch()
        self._taken += 1
        return None if batch is None else _Batch(batch, self._data, self._taken)


class _Batch:
    """A batch with another way to read it; all else is that of the library's."""

    def __init__(self, batch: Any, data: bytes, number: int) -> None:
        self._batch = batch
        self._data = data
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            yield from islice(_leniently(self._data, self._number), read, None)


class _Lenient(bytes):
    """Bytes that can always be decoded, and whose slices can."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


def _leniently(data: bytes, number: int) -> Iterator[Any]:
    """Read the batch with this number, from 1 on, of what a fetch has brought."""
    records = _MemoryRecordsPy(data)
    raw: Any = None
    for _ in range(number):
        raw = records._next_slice
        records.next_batch()
    batch: Any = _DefaultRecordBatchPy(raw)
    batch._maybe_uncompress()
    batch._buffer = _Lenient(batch._buffer)
    return iter(batch)
