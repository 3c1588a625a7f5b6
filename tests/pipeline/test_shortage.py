"""What is a shortage of the host, whatever was made of it since."""

import errno
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, KnowledgeError, LedgerLocked
from pipeline.features import load_features
from pipeline.intel.match import load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.shortage import is_shortage
from pipeline.yaml_file import read_mapping


def no_descriptors(*ignored: object, **more: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_it_shows_through_what_was_raised_from_it() -> None:
    with pytest.raises(ConfigError) as caught:
        try:
            no_descriptors()
        except OSError as error:
            raise ConfigError("cannot be read") from error
    assert is_shortage(caught.value)
    assert is_shortage(MemoryError())
    assert not is_shortage(PermissionError(errno.EACCES, "Permission denied"))
    assert not is_shortage(ConfigError("not YAML"))


def test_what_was_raised_instead_of_it_is_none() -> None:
    """A lock that is taken says so with EAGAIN."""
    with pytest.raises(LedgerLocked) as caught:
        try:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        except BlockingIOError:
            raise LedgerLocked("another process owns it") from None
    assert not is_shortage(caught.value)


def test_whatever_a_person_wrote_is_never_to_blame_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither refused as if it were wrong, nor passed over for as long as the process lives."""
    (tmp_path / "a.yaml").write_text("a: 1\n", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", no_descriptors)
        with pytest.raises(KnowledgeError) as knowledge:
            load_knowledge(load_features, [tmp_path])
    with monkeypatch.context() as patched:
        patched.setattr("io.open", no_descriptors)
        with pytest.raises(ConfigError) as policy:
            read_mapping(tmp_path / "a.yaml", {})
        with pytest.raises(ConfigError) as intel:
            load_intel([tmp_path / "a.yaml"])
    assert all(is_shortage(caught.value) for caught in (knowledge, policy, intel))
