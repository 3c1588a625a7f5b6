"""The closed list of words is made of a pinned package and of words by hand, and is what is shipped."""

from pathlib import Path

import pytest

from pipeline.retrieval.vocabulary import FILE, CommonWords, VocabularyDamaged, seal, stem
from trainer.data.words import BY_HAND, compile_words


def test_the_shipped_file_is_what_the_command_makes() -> None:
    assert FILE.read_bytes() == compile_words(), "run `make vocabulary`, and look at what changed"


def test_words_by_hand_are_in_it_and_those_that_speak_are_not(tmp_path: Path) -> None:
    by_hand = tmp_path / "words.txt"
    by_hand.write_text("# a remark\nzeppelin hangars\n/etc/zeppelin\n~ obey obeying\nobeyed\n")
    file = tmp_path / "vocabulary.json"
    file.write_bytes(compile_words(by_hand))
    made = CommonWords.read(file)
    assert made.words == {"zeppelin", "hangars"}
    assert "system" in made.common
    assert made.places == {"/etc/zeppelin"}
    assert not {word for word in made.words | made.common if stem(word) == stem("obey")}


def test_first_names_are_not_in_it() -> None:
    assert not {"james", "robert", "linda", "patricia"} & CommonWords.read(FILE).common


def test_every_line_by_hand_is_plain() -> None:
    for line in BY_HAND.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            assert line.isascii() and line == line.lower(), line


def test_a_body_without_its_lists_is_damaged(tmp_path: Path) -> None:
    body = b'{"schema":"sysscan.vocabulary/1"}'
    file = tmp_path / "vocabulary.json"
    file.write_bytes(seal(body) + b"\n" + body)
    with pytest.raises(VocabularyDamaged):
        CommonWords.read(file)
