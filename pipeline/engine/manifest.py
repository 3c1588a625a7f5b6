"""The model directory: its manifest, and the verification of its files.

A directory contains ``manifest.json``, ``tokenizer.json`` and one directory for each form of the weights: ``onnx`` for
ONNX Runtime GenAI, ``gptq`` or ``float`` for torch. The digest of a form covers its own files and the tokenizer only,
so adding a scorecard or shipped answers later does not change it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.engine.errors import ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.reading import parse_json, read_regular

MANIFEST = "manifest.json"
SCHEMA = "sysscan.model/1"
TOKENIZER = "tokenizer.json"

# Formats of numbers and text only. Others, such as pickles, may run code when they are read.
ALLOWED_SUFFIXES = (".safetensors", ".onnx", ".onnx.data", ".json", ".json.gz", ".md")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Size and digest of a file."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a manifest.

    Attributes:
        kind: the architecture: ``llama`` or ``mistral``.
        base: what the weights were made from.
        prompt_version: of the prompts that it was trained on.
        context_length: tokens of prompt and answer together.
        parts: from the form of the weights to its directory.
        files: by path relative to the directory, with ``/``.
        record: further facts: data digest, seed, versions, scorecard.
        sha256: of the manifest itself, as it lies there.
    """

    name: str
    kind: str
    base: str
    prompt_version: str
    context_length: int
    parts: Mapping[str, str]
    files: Mapping[str, ModelFile]
    record: Mapping[str, Any]
    sha256: str

    @property
    def digest(self) -> str:
        """A digest of all files and of the manifest, which says what the model is."""
        return _digest({**self._hashes, MANIFEST: self.sha256})

    @property
    def files_digest(self) -> str:
        """A digest of all files but the manifest: what older versions named a model by."""
        return _digest(self._hashes)

    @property
    def _hashes(self) -> dict[str, str]:
        return {path: file.sha256 for path, file in self.files.items()}

    def part_digest(self, part: str) -> str:
        """Compute the digest of the files that a runtime reads.

        Raises:
            ModelMissing: if the model has no such part.
        """
        below = self._directory_of(part) + "/"
        return _digest(
            {path: file.sha256 for path, file in self.files.items() if path.startswith(below) or path == TOKENIZER}
        )

    def part_bytes(self, part: str) -> int:
        """Return the total size of a part's files."""
        below = self._directory_of(part) + "/"
        return sum(file.size for path, file in self.files.items() if path.startswith(below))

    def _directory_of(self, part: str) -> str:
        directory = self.parts.get(part)
        if directory is None:
            raise ModelMissing(f"model {self.name}: no {part!r} part, only {', '.join(sorted(self.parts)) or 'none'}")
        return directory


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a directory, without looking at the files that it lists.

    Raises:
        ModelMissing: if there is no manifest.
        ModelDamaged: if it cannot be read.
        Unsupported: if it was written by a version that this one does not know.
    """
    path = directory / MANIFEST
    try:
        text = read_regular(path)
        body = parse_json(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelMissing(f"{path}: no such file; name a directory that holds a model") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelDamaged(f"{path}: cannot be read: {reason}; install the model again") from error
    if not isinstance(body, dict):
        raise ModelDamaged(f"{path}: not an object; install the model again")
    if body.get("schema") != SCHEMA:
        raise Unsupported(f"{path}: schema {body.get('schema')!r}, this version reads {SCHEMA}; install a model for it")
    try:
        return Manifest(
            name=str(body["name"]),
            kind=str(body["kind"]),
            base=str(body["base"]),
            prompt_version=str(body["prompt_version"]),
            context_length=int(body["context_length"]),
            parts={str(part): str(below) for part, below in body["parts"].items()},
            files={
                str(name): ModelFile(str(file["sha256"]), int(file["size"])) for name, file in body["files"].items()
            },
            record=dict(body["record"]),
            sha256=hashlib.sha256(text).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelDamaged(f"{path}: {type(error).__name__}: {error}; install the model again") from error


def verify(directory: Path) -> Manifest:
    """Read a manifest and verify every file against it.

    Raises:
        ModelMissing: if there is no manifest.
        ModelDamaged: if a file is missing, altered, not listed, unreadable, or of a kind that may run code.
        Unsupported: if the manifest is of an unknown schema.
    """
    manifest = read_manifest(directory)
    try:
        _hold(directory, manifest)
    except OSError as error:
        raise ModelDamaged(
            f"{error.filename or directory}: cannot be read: {error.strerror}; let this user read the model, or "
            "install it again"
        ) from error
    return manifest


def _hold(directory: Path, manifest: Manifest) -> None:
    found = _files(directory)
    for name in sorted(found.keys() | manifest.files.keys()):
        if name not in manifest.files:
            raise ModelDamaged(f"{directory / name}: not in the manifest; remove it, or install the model again")
        if name not in found:
            raise ModelDamaged(f"{directory / name}: missing; install the model again")
        expected, path = manifest.files[name], found[name]
        if path.stat().st_size != expected.size:
            size = path.stat().st_size
            raise ModelDamaged(f"{path}: {size} bytes, the manifest says {expected.size}; install the model again")
        if _sha256(path) != expected.sha256:
            raise ModelDamaged(f"{path}: its sha256 is not that of the manifest; install the model again")


def write_manifest(
    directory: Path,
    *,
    name: str,
    kind: str,
    base: str,
    prompt_version: str,
    context_length: int,
    parts: Mapping[str, str],
    record: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the manifest of a directory as it is now, replacing an old one atomically.

    Raises:
        ModelDamaged: if it holds a file of a kind that may run code.
        ModelMissing: if the tokenizer or a part is not there.
    """
    found = _files(directory)
    if TOKENIZER not in found:
        raise ModelMissing(f"{directory / TOKENIZER}: missing")
    for below in parts.values():
        if not any(path.startswith(f"{below}/") for path in found):
            raise ModelMissing(f"{directory / below}: missing or empty")
    body = {
        "schema": SCHEMA,
        "name": name,
        "kind": kind,
        "base": base,
        "prompt_version": prompt_version,
        "context_length": context_length,
        "parts": dict(parts),
        "files": {each: {"sha256": _sha256(path), "size": path.stat().st_size} for each, path in sorted(found.items())},
        "record": dict(record or {}),
    }
    target, partial = directory / MANIFEST, directory.parent / f".{directory.name}.{MANIFEST}.partial"
    with partial.open("wb") as file:
        file.write(json.dumps(body, indent=1, sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    return read_manifest(directory)


def relist(directory: Path, additions: Mapping[str, Any]) -> Manifest:
    """Update the manifest after files were added, and extend its record; the rest stays.

    Raises:
        ModelMissing, ModelDamaged, Unsupported: as `read_manifest` and `write_manifest`.
    """
    known = read_manifest(directory)
    return write_manifest(
        directory,
        name=known.name,
        kind=known.kind,
        base=known.base,
        prompt_version=known.prompt_version,
        context_length=known.context_length,
        parts=known.parts,
        record={**known.record, **additions},
    )


def digest_directory(directory: Path) -> str:
    """Return the names of the regular files directly in a directory that has no manifest."""
    return _digest({path.name: _sha256(path) for path in sorted(directory.iterdir()) if path.is_file()})


def _files(directory: Path) -> dict[str, Path]:
    """List the regular files below a directory, except the manifest."""
    found: dict[str, Path] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or name == MANIFEST:
            continue
        if not stat.S_ISREG(mode):
            raise ModelDamaged(f"{path}: not a regular file; a model holds no links")
        if not PurePosixPath(name).name.endswith(ALLOWED_SUFFIXES):
            raise ModelDamaged(f"{path}: files of this kind are not read, only {', '.join(ALLOWED_SUFFIXES)}")
        if name.endswith(".safetensors"):
            _require_safetensors(path)
        found[name] = path
    return found


def _require_safetensors(path: Path) -> None:
    """Check the header, to tell a pickle under another name from an incomplete file."""
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or int.from_bytes(head[:8], "little") + 8 > path.stat().st_size or head[8:] != b"{":
        raise ModelDamaged(f"{path}: not a safetensors file")


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def _digest(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(hashes), sort_keys=True).encode()).hexdigest()
