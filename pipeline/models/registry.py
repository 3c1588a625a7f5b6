"""Several models in one place, one of which is the incumbent: the model that answers.

A registry is a directory. Each model lies in it under the digest of its manifest and all its files (of the files alone,
where an earlier build took it in), and ``incumbent.json`` names the one that answers, with those before it. That file
is replaced in one step, so that at every moment there is exactly one incumbent, whoever is killed; a model is in place
under its name only when all of it is there and on the disk.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.errors import EngineError, ModelDamaged
from pipeline.engine.manifest import Manifest, read_manifest, verify
from pipeline.engine.reading import read_json
from pipeline.errors import RegistryError
from pipeline.models.embedded import EMBEDDED_MODEL

SCHEMA = "sysscan.models/1"
EMBEDDED = "embedded"  # names the model that comes with the program, which is in every registry
POINTER = "incumbent.json"  # in the directory: names the model that answers
_INCOMING = ".incoming-"
_CHANGED = "its manifest or its list of files was changed after it was added; add it again"
_SHORTEST = 6  # characters of a digest that a person gives
_HISTORY = 1000  # changes that are remembered


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the incumbent.

    Attributes:
        digest: of the model that became it, or `EMBEDDED`.
        at: when, RFC 3339.
        by, reason: who, and why, for people.
        kind: ``promote`` or ``rollback``; ``unchanged`` for what changed nothing and is not remembered.
    """

    digest: str
    name: str
    at: str
    by: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a registry.

    Attributes:
        digest: its name in the registry, or `EMBEDDED`.
        manifest: None where it cannot be read; `fault` says why.
    """

    digest: str
    directory: Path
    manifest: Manifest | None
    fault: str | None

    @property
    def name(self) -> str:
        """Name the model for people."""
        return self.manifest.name if self.manifest is not None else "?"


class Registry:
    """The models of a directory, which need not be there yet."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read or made before it is needed."""
        self.directory = directory

    # Looking

    def incumbent(self) -> Entry:
        """Give the model that answers: what was promoted last, or the one that comes with the program.

        Raises:
            RegistryError: when the pointer cannot be read, or names what is not there.
        """
        named = self._named(self.history())
        try:
            return self.find(named)
        except RegistryError as error:
            raise RegistryError(
                f"{self.directory / POINTER}: names model {named[:12]}, which is not there; promote another, or add it "
                "again"
            ) from error

    def history(self) -> list[Change]:
        """List the changes of the incumbent, the last one at the end.

        Raises:
            RegistryError: when the pointer cannot be read.
        """
        path = self.directory / POINTER
        try:
            body = read_json(path)
            if not isinstance(body, dict) or not isinstance(body.get("history"), list):
                raise ValueError("not an object with a history")
            if body.get("schema") != SCHEMA:
                raise RegistryError(f"{path}: schema {str(body.get('schema'))[:80]!r}; this version reads {SCHEMA}")
            return [_change(number, one) for number, one in enumerate(body["history"], 1)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RegistryError(
                f"{path}: does not say which model answers ({error}); put it right, or remove it to go back to the "
                "model of the program"
            ) from error

    @staticmethod
    def _named(history: Sequence[Change]) -> str:
        return history[-1].digest if history else EMBEDDED

    def entries(self) -> list[Entry]:
        """List the models, in order of their digests, that of the program last."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = sorted(one.name for one in self.directory.iterdir() if one.is_dir() and _is_digest(one.name))
        return [*(self._entry(name) for name in names), self._embedded()]

    def find(self, wanted: str) -> Entry:
        """Give the model with this digest, or the only one whose digest begins so.

        Raises:
            RegistryError: when there is none, or more than one.
        """
        if wanted == EMBEDDED:
            return self._embedded()
        entries = self.entries()
        found = [one for one in entries if one.digest == wanted]
        if not found and len(wanted) >= _SHORTEST:
            found = [one for one in entries if one.digest.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(one.digest[:12] for one in entries)
        if found:
            what = "means more than one model; give more digits"
        elif len(wanted) < _SHORTEST and any(one.digest.startswith(wanted) for one in entries):
            what = f"too short: give at least {_SHORTEST} digits"
        else:
            what = "no such model"
        raise RegistryError(f"{self.directory}: {wanted[:80]}: {what}; there are: {there}", missing=not found)

    def verify(self, entry: Entry) -> Manifest:
        """Hold every file of a model against its manifest, and the manifest against the model's name.

        Raises:
            RegistryError: saying what is wrong with it.
        """
        try:
            manifest = verify(entry.directory)
        except EngineError as error:
            raise RegistryError(f"model {entry.digest[:12]}: {error}") from error
        if entry.digest != EMBEDDED and not _is_named(entry.digest, manifest):
            raise RegistryError(f"model {entry.digest[:12]}: {_CHANGED}")
        return manifest

    # Changing

    def add(self, source: Path) -> Entry:
        """Copy a model directory into the registry; one that is there already stays as it is.

        Raises:
            RegistryError: when it is no whole model, or cannot be copied.
        """
        with self._changing():
            try:
                manifest = verify(source)
                entry = self._entry(manifest.digest)
                if entry.directory.exists():
                    self.verify(entry)
                    return entry
                partial = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.directory))
                shutil.copytree(source, partial / "model")
                if verify(partial / "model").digest != manifest.digest:
                    raise ModelDamaged(f"{source}: changed while it was copied")
                _sync(partial / "model")
                (partial / "model").rename(entry.directory)
                partial.rmdir()
                _sync_directory(self.directory)
            except EngineError as error:
                raise RegistryError(str(error)) from error
            except (OSError, shutil.Error) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else error
                raise RegistryError(f"{source}: cannot be copied to {self.directory}: {reason}") from error
        return self._entry(entry.digest)

    def promote(self, wanted: str, *, at: str, by: str, reason: str, keep: int) -> Change:
        """Have a model answer from now on, if every file of it is as it was made; one that does already stays.

        Args:
            at: RFC 3339.
            keep: models that stay beside the incumbent, those that answered last; others are removed.

        Raises:
            RegistryError: when it is damaged or not there; the incumbent stays.
        """
        with self._changing():
            entry = self.find(wanted)
            if entry.digest == self._named(self.history()):
                return Change(entry.digest, self.verify(entry).name, at, by, reason, "unchanged")
            return self._point_to(entry, "promote", at=at, by=by, reason=reason, keep=keep)

    def rollback(self, *, at: str, by: str, reason: str, keep: int) -> Change:
        """Have the model answer that did before the incumbent.

        Of several rollbacks in a row each goes one model further back.

        Raises:
            RegistryError: when there is none, or it is damaged; the incumbent stays.
        """
        with self._changing():
            line = self._line()
            if not line:
                raise RegistryError(f"{self.directory}: nothing was promoted, so there is nothing to go back from")
            before = line[-2] if len(line) > 1 else EMBEDDED
            return self._point_to(self.find(before), "rollback", at=at, by=by, reason=reason, keep=keep)

    def _line(self) -> list[str]:
        """Give the promoted models that a rollback would go through, the incumbent last: none twice in a row."""
        line: list[str] = []
        for change in self.history():
            if change.kind == "rollback":
                while line and line[-1] != change.digest:
                    line.pop()
            elif change.digest != (line[-1] if line else EMBEDDED):
                line.append(change.digest)
        return line

    def _point_to(self, entry: Entry, kind: str, *, at: str, by: str, reason: str, keep: int) -> Change:
        manifest = self.verify(entry)
        change = Change(entry.digest, manifest.name, at, by, reason, kind)
        history = [*self.history(), change][-_HISTORY:]
        body = {"schema": SCHEMA, "incumbent": change.digest, "history": [asdict(one) for one in history]}
        _replace(self.directory / POINTER, body)
        self._prune({change.digest, *self._line()[-keep - 1 :]}, keep)
        return change

    def _prune(self, wanted: set[str], keep: int) -> None:
        """Remove models that answered once and are too old to go back to; candidates stay until a person decides."""
        answered = [change.digest for change in self.history()]
        recent = {*wanted, *list(dict.fromkeys(reversed(answered)))[: keep + 1]}
        for entry in self.entries():
            if entry.digest in answered and entry.digest not in recent and entry.digest != EMBEDDED:
                shutil.rmtree(entry.directory, ignore_errors=True)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the registry against others that change it, and tidy up what a killed one left.

        Raises:
            RegistryError: when the directory cannot be made or written, or somebody else changes it just now.
        """
        try:
            import fcntl  # here: answering needs no lock, and not every system has them
        except ModuleNotFoundError as error:
            raise RegistryError(f"{self.directory}: cannot be locked on this system, which has no fcntl") from error
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RegistryError(f"{self.directory}: cannot be used for models: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RegistryError(f"{self.directory}: another command changes it just now; try again") from error
            for left in self.directory.glob(f"{_INCOMING}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)

    def _entry(self, digest: str) -> Entry:
        directory = self.directory / digest
        try:
            manifest = read_manifest(directory)
        except EngineError as error:
            return Entry(digest, directory, None, str(error))
        if not _is_named(digest, manifest):  # what it says of itself now is not what was added
            return Entry(digest, directory, None, _CHANGED)
        return Entry(digest, directory, manifest, None)

    @staticmethod
    def _embedded() -> Entry:
        try:
            return Entry(EMBEDDED, EMBEDDED_MODEL, read_manifest(EMBEDDED_MODEL), None)
        except EngineError as error:
            return Entry(EMBEDDED, EMBEDDED_MODEL, None, str(error))


def _is_named(digest: str, manifest: Manifest) -> bool:
    return digest in (manifest.digest, manifest.files_digest)


def _change(number: int, said: object) -> Change:
    values = {name: said.get(name) if isinstance(said, dict) else None for name in Change.__dataclass_fields__}
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"entry {number} of its history has no {name}")
    return Change(**{name: str(value) for name, value in values.items()})


def _is_digest(name: str) -> bool:
    return len(name) == 64 and all(one in "0123456789abcdef" for one in name)


def _replace(path: Path, body: dict[str, Any]) -> None:
    partial = path.with_name(f"{_INCOMING}{path.name}")
    try:
        if partial.is_dir():
            raise RegistryError(f"{partial}: is in the way; remove it")
        with partial.open("wb") as file:
            file.write(json.dumps(body, indent=1, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise RegistryError(f"{path}: cannot be written: {error.strerror}; the incumbent stays") from error


def _sync(directory: Path) -> None:
    """Have a tree on the disk before it gets its name."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            _sync_directory(path)
    _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
