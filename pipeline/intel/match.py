"""Local threat intelligence: indicators from files, matched against findings. Nothing is fetched."""

import hashlib
import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pipeline.addresses import readings
from pipeline.contract import Doc, Percent
from pipeline.engine.reading import NotRegular, is_meant, read_regular
from pipeline.errors import ConfigError
from pipeline.intel.expression import Equal, anchors, holds
from pipeline.intel.indicator_list import LIST_KINDS, ListLine, list_lines
from pipeline.intel.skipped import SkipLog, Skipped
from pipeline.intel.stix_bundle import Indicator, read_bundles, utc
from pipeline.remembered import Remembered
from pipeline.shortage import is_shortage

Strength = Literal["hash", "address", "name"]

HASH_NOTE = (
    "The scanner hashes only the first 128 KiB of a program and 2 MiB of a module: a match is one for small files,"
    " no match clears nothing."
)
NAME_NOTE = "Matched by name or path, which anyone can choose: a lead, not a proof."
ORDER_NOTE = (
    "The report does not say in which order it wrote the bytes of this address: one of its two readings matches."
)
MAX_FILE_BYTES = 256 * 1024 * 1024

_DELETED = " (deleted)"
_FILE_KEYS = ("path", "exe", "exe_path")
_PROCESS_KEYS = ("exe", "exe_path", "comm", "command", "cmdline")
_COMMAND_KEYS = ("command", "cmdline")
_ADDRESS_KEYS = ("ip", "lip", "rip", "dst_ip", "src_ip", "address")
_PORT_KEYS = ("dst_port", "rport", "lport", "port")
_DOMAIN_KEYS = ("domain", "dst_host")
MAX_UNANCHORED = 5_000  # indicators without a value to look up are tried on every finding
_UNCERTAIN = "ip.uncertain"
_NOT_AN_ADDRESS = frozenset({"0.0.0.0", "::", "127.0.0.1", "::1"})  # noqa: S104 - compared with, never bound
_SHA256 = re.compile(r"\A[0-9a-fA-F]{64}\Z")
_REMEMBERED = 8192  # findings repeat from scan to scan; a cached result takes about 200 bytes


@dataclass(slots=True, frozen=True)
class Hit:
    """An indicator that a finding matches."""

    indicator: Annotated[str, Doc("Id of the STIX object, or FILE:LINE of a plain list.")]
    name: Annotated[str, Doc("Its name.")]
    source: Annotated[str, Doc("The file it is from.")]
    matched: Annotated[tuple[str, ...], Doc("Kinds of observables that matched.")]
    strength: Annotated[Strength, Doc("What the best of them is worth.")]
    note: Annotated[str, Doc("What the match does not prove.")]
    confidence: Annotated[Percent | None, Doc("The source's confidence, or null.")]
    kinds: Annotated[tuple[str, ...], Doc("STIX indicator types.")]
    techniques: Annotated[tuple[str, ...], Doc("Techniques that the source relates it to.")]
    phases: Annotated[tuple[str, ...], Doc("Kill-chain phases.")]
    threats: Annotated[tuple[str, ...], Doc("Names of malware, actors or campaigns.")]


class Intel:
    """Indicators, indexed by the values that they match.

    Attributes:
        digest: of the names and bytes of all files, for cache keys and the output.
        num_indicators: how many can be matched.
        skipped: what of the files is not used, counted by reason.
        unusable: files of which nothing is used although something stands in them.
    """

    def __init__(
        self, digest: str, indicators: Sequence[Indicator], lines: Iterable[ListLine], skipped: SkipLog
    ) -> None:
        self.digest = digest
        self.num_indicators = len(indicators)
        self._indicators = tuple(indicators)
        self._list_files: list[str] = []
        self._unanchored: list[int] = []
        self._prefixes: set[tuple[int, int]] = set()  # (IP version, length) of the networks in indicators
        self._found: Remembered[tuple[tuple[str, tuple[str, ...]], ...], tuple[tuple[int, int], ...]]
        self._found = Remembered(_REMEMBERED)
        self._index = b"".join(sorted(self._entries(indicators, lines, skipped)))
        self.skipped: tuple[Skipped, ...] = skipped.entries()  # reading the lines may have added to it
        used = {*self._list_files, *(indicator.source.partition(": ")[0] for indicator in indicators)}
        self.unusable = tuple(dict.fromkeys(entry.file for entry in self.skipped if entry.file not in used))

    def __bool__(self) -> bool:
        return self.num_indicators > 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each file and reason, with the number of entries and the first of them."""
        return tuple(map(str, self.skipped))

    def match(
        self, slots: Mapping[str, str], metadata: Mapping[str, Any], as_of: str, received: str = ""
    ) -> tuple[Hit, ...]:
        """Find the indicators that a finding matches and that are valid between two times, ordered by their sources.

        Args:
            as_of: when the host says that it looked.
            received: when the report came in, or empty: a wrong clock must not put an indicator out of force.

        Raises:
            ValueError: if `as_of` is not a time in RFC 3339 form.
        """
        if not self:
            return ()
        moments = sorted((utc(as_of), utc(received or as_of)))
        seen = observables(slots, metadata)
        if not seen:
            return ()
        key = tuple(sorted(seen.items()))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._look_up(seen)
        hits = [
            hit for file, number in found if (hit := self._hit(file, number, seen, moments[0], moments[1])) is not None
        ]
        return tuple(sorted(hits, key=lambda hit: (hit.source, hit.indicator)))

    def _look_up(self, seen: dict[str, tuple[str, ...]]) -> tuple[tuple[int, int], ...]:
        wanted = [(kind, value) for kind, values in seen.items() for value in values]
        wanted += [("ip.network", network) for network in self._networks(seen)]
        found = {entry for kind, value in wanted for entry in self._entries_of(_key(kind, value))}
        found.update((0, number) for number in self._unanchored)
        return tuple(sorted(found))

    def _networks(self, seen: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
        for text in seen.get("ip", ()):
            address = ipaddress.ip_address(text)
            for version, length in sorted(self._prefixes):
                if version == address.version:
                    yield str(ipaddress.ip_network(f"{text}/{length}", strict=False))

    def _hit(self, file: int, number: int, seen: dict[str, tuple[str, ...]], first: str, last: str) -> Hit | None:
        if file:
            name = self._list_files[file - 1]
            where = f"{name}:{number >> 8}"
            kind = LIST_KINDS[number & 0xFF]
            strength = _strength((kind,))
            note = _note(strength, (kind,), seen)
            return Hit(where, where, where, (kind,), strength, note, None, (), (), (), ())
        indicator = self._indicators[number]
        if last < indicator.valid_from or (indicator.valid_until and first >= indicator.valid_until):
            return None
        shown = {**seen, "ip.network": tuple(self._networks(seen))} if self._prefixes else seen
        kinds = holds(indicator.expression, shown)
        if kinds is None:
            return None
        matched = tuple(sorted(set(kinds)))
        strength = _strength(matched)
        return Hit(
            indicator=indicator.id,
            name=indicator.name,
            source=indicator.source,
            matched=matched,
            strength=strength,
            note=_note(strength, matched, seen),
            confidence=indicator.confidence,
            kinds=indicator.kinds,
            techniques=indicator.techniques,
            phases=indicator.phases,
            threats=indicator.threats,
        )

    # The index is one sorted block of 24-byte entries: 16 bytes of hash, 3 of file, 5 of number. A million
    # indicators take 24 MB there; as Python objects they would take ten times that.

    def _entries(self, indicators: Sequence[Indicator], lines: Iterable[ListLine], skipped: SkipLog) -> Iterator[bytes]:
        for number, indicator in enumerate(indicators):
            leaves = anchors(indicator.expression)
            if leaves is None:
                if len(self._unanchored) < MAX_UNANCHORED:
                    self._unanchored.append(number)
                else:
                    self.num_indicators -= 1
                    file, _, name = indicator.source.partition(": ")
                    skipped.add(file, name, f"more than {MAX_UNANCHORED} patterns that name no value to look up")
                continue
            for leaf in set(leaves):
                yield self._entry(leaf, 0, number)
        for line in lines:
            if not self._list_files or self._list_files[-1] != line.file:
                self._list_files.append(line.file)
            self.num_indicators += 1
            kind = LIST_KINDS.index(line.wanted.kind)
            yield self._entry(line.wanted, len(self._list_files), line.number << 8 | kind)

    def _entry(self, leaf: Equal, file: int, number: int) -> bytes:
        if leaf.kind == "ip.network":
            network = ipaddress.ip_network(leaf.value)
            self._prefixes.add((network.version, network.prefixlen))
        return _key(leaf.kind, leaf.value) + file.to_bytes(3, "big") + number.to_bytes(5, "big")

    def _entries_of(self, key: bytes) -> Iterator[tuple[int, int]]:
        position = bisect_left(_Keys(self._index), key)
        while self._index[position * 24 : position * 24 + 16] == key:
            entry = self._index[position * 24 : position * 24 + 24]
            yield int.from_bytes(entry[16:19], "big"), int.from_bytes(entry[19:], "big")
            position += 1


def load_intel(paths: Sequence[Path]) -> Intel:
    """Read STIX 2.1 bundles and plain indicator lists; the files of a directory in the order of their names.

    A file that begins with ``{`` or ``[`` is a bundle, any other a plain list (see `pipeline.intel.indicator_list`).
    Feeds are other people's data: what cannot be used of them is named in `Intel.skipped`, and the rest is used.

    Raises:
        ConfigError: if a path does not exist.
    """
    skipped = SkipLog()
    total = hashlib.sha256()
    bundles: list[tuple[Path, bytes]] = []
    lists: list[tuple[Path, bytes]] = []
    for path in _files(paths):
        data = _read(path, skipped)
        total.update(f"{path.name}\n".encode(errors="surrogateescape") + hashlib.sha256(data).digest())
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            bundles.append((path, data))
        else:
            lists.append((path, data))
    indicators = read_bundles(bundles, skipped)
    lines = (line for path, data in lists for line in list_lines(path, data, skipped))
    return Intel(total.hexdigest(), indicators, lines, skipped)


def observables(slots: Mapping[str, str], metadata: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Extract the observables of a finding, by kind, from its slots and then from the report's metadata."""
    seen: dict[str, list[str]] = {}

    def see(kind: str, value: str) -> None:
        if value and value not in (values := seen.setdefault(kind, [])):
            values.append(value)

    for source in (slots, metadata):
        for key in _FILE_KEYS:
            if (value := _text(source, key)) is not None and value.startswith("/"):
                plain = value.removesuffix(_DELETED)
                directory, _, name = plain.rpartition("/")
                see("file.path", plain)
                see("file.directory", directory or "/")
                see("file.directory", plain)  # the finding may be about a directory
                see("file.name", name)
                if key != "path":
                    see("process.image", name)
        for key in _PROCESS_KEYS:
            if (value := _text(source, key)) is not None:
                see("process.name", value.removesuffix(_DELETED).rpartition("/")[2])
        for key in _COMMAND_KEYS:
            if (value := _text(source, key)) is not None:
                see("process.command_line", value)
        if (value := _text(source, "sha256")) is not None and _SHA256.match(value):
            see("file.sha256", value.lower())
        if (value := _text(source, "module")) is not None:
            see("module", value)
        for key in _ADDRESS_KEYS:
            if (value := _text(source, key)) is not None:
                for one in readings(value):
                    if (address := str(one.address)) not in _NOT_AN_ADDRESS:
                        see("ip", address)
                        if not one.certain:
                            see(_UNCERTAIN, address)
        for key in _PORT_KEYS:
            if (value := _text(source, key)) is not None and value.isascii() and value.isdigit():
                see("port", value)
        for key in _DOMAIN_KEYS:
            if (value := _text(source, key)) is not None:
                see("domain", value.lower().rstrip("."))
    return {kind: tuple(values) for kind, values in seen.items()}


class _Keys(Sequence[bytes]):
    """The keys of an index as a sequence, for `bisect`."""

    __slots__ = ("_index",)

    def __init__(self, index: bytes) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index) // 24

    def __getitem__(self, position: Any) -> Any:
        return self._index[position * 24 : position * 24 + 16]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            if path.is_dir():
                yield from sorted(entry for entry in path.iterdir() if is_meant(entry) and entry.name[0] != ".")
            else:
                yield path
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _read(path: Path, skipped: SkipLog) -> bytes:
    try:
        if path.stat().st_size <= MAX_FILE_BYTES:
            return read_regular(path, MAX_FILE_BYTES)
        skipped.add(path.name, "", f"nothing of it is used: larger than {MAX_FILE_BYTES} bytes; split it")
    except OSError as error:
        # What a feed writes stops nobody; what is no file at all was put there by whoever runs this.
        if isinstance(error, FileNotFoundError | NotRegular) or is_shortage(error):
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        skipped.add(path.name, "", f"nothing of it is used: cannot be read: {error.strerror}")
    return b""


def _key(kind: str, value: str) -> bytes:
    return hashlib.blake2b(f"{kind}\0{value}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    return value if isinstance(value, str) and value else None


def _strength(matched: Sequence[str]) -> Strength:
    if "file.sha256" in matched:
        return "hash"
    return "address" if any(kind in {"ip", "ip.network", "domain"} for kind in matched) else "name"


def _note(strength: Strength, matched: Sequence[str], seen: Mapping[str, tuple[str, ...]]) -> str:
    if strength == "address" and _UNCERTAIN in seen and not {"ip", "ip.network"}.isdisjoint(matched):
        return ORDER_NOTE
    return {"hash": HASH_NOTE, "name": NAME_NOTE, "address": ""}[strength]
