"""Answers that come along: those that a model gave already are kept."""

from pipeline.engine.generator import Grammar
from pipeline.engine.shipped import answer_key
from trainer.record.answers import Recorder


class Counting:
    """A generator that counts what it is asked."""

    digest = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        self.asked.append(prompt)
        return f"new {prompt}"

    def close(self) -> None:
        pass


def test_only_new_questions_are_asked_and_old_answers_go_with_their_questions() -> None:
    grammar, generator = Grammar("{}"), Counting()
    known = {answer_key(prompt, grammar): f"old {prompt}" for prompt in ("kept", "gone")}
    recorder = Recorder(generator, known)
    assert [recorder.generate(prompt, grammar, 8) for prompt in ("kept", "fresh")] == ["old kept", "new fresh"]
    assert generator.asked == ["fresh"]
    assert recorder.answers == {
        answer_key("kept", grammar): "old kept",
        answer_key("fresh", grammar): "new fresh",
    }
