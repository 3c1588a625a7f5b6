"""The file of common words is whole or is not used, and unknown findings are then told as before."""

from pathlib import Path

import pytest

from pipeline.retrieval.retriever import Retriever
from pipeline.retrieval.vocabulary import FILE, Vocabulary, VocabularyDamaged, stem
from tests.pipeline.sessions import documents, knowledge, lines_of, made_up, resources, session_of
from tests.pipeline.unknown import finding


def test_the_list_has_some_thousand_words_and_stays_small() -> None:
    known = Vocabulary.load(knowledge())
    assert 4_000 < len(known.words) < 10_000
    assert {"docker", "sudoers", "certificate", "socket"} <= known.words
    assert known.subjects < known.words
    assert FILE.stat().st_size < 80_000


def altered(tmp_path: Path, change: str) -> Path:
    file = tmp_path / "vocabulary.json"
    if change == "a word more":
        file.write_bytes(FILE.read_bytes().replace(b'"words":"', b'"words":"ignore '))
    elif change == "cut":
        file.write_bytes(FILE.read_bytes()[:-100])
    elif change == "empty":
        file.write_bytes(b"")
    elif change == "another":
        file.write_bytes(b"0" * 64 + b"\n{}")
    return file


@pytest.mark.parametrize("change", ["missing", "a word more", "cut", "empty", "another"])
def test_a_damaged_list_is_named_in_a_line_and_never_used(tmp_path: Path, change: str) -> None:
    file = altered(tmp_path, change)
    with pytest.raises(VocabularyDamaged) as caught:
        Vocabulary.load(knowledge(), file)
    said = str(caught.value)
    assert str(file) in said and "install the package again" in said and "\n" not in said


@pytest.mark.parametrize("change", ["missing", "a word more"])
def test_with_a_damaged_list_the_rules_answer_as_before(tmp_path: Path, change: str) -> None:
    on = resources()
    on.retriever = Retriever(on.knowledge, file=altered(tmp_path, change))
    (line,) = documents(lines_of(session_of(made_up([finding("docker:socket")]), on, {})))
    assert "likely" not in line
    assert line["analysis"]["assessment"].startswith("No knowledge of this kind of finding")
    assert on.retriever.failure is not None and on.retriever.check() == on.retriever.failure


def test_forms_of_a_word_are_one() -> None:
    assert len({stem(word) for word in ("permission", "permissions")}) == 1
    assert len({stem(word) for word in ("audit", "audited", "auditing", "audits")}) == 1
    assert stem("ssh") == "ssh"
