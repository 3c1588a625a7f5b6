from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.decoder import Answering, Decoder
from pipeline.engine.errors import TooLong, Unfinished, Unsupported
from pipeline.engine.generator import Generator, Grammar
from pipeline.engine.identity import CHUNK
from pipeline.engine.tokens import Tokenizer
from tests.depth import examples
from tests.pipeline.engine.byte_tokenizer import write_tokenizer
from tests.pipeline.engine.hash_runner import HashRunner
from tests.pipeline.engine.plainly import generate_plainly

GRAMMARS = [
    Grammar.of(
        {
            "type": "object",
            "properties": {
                "level": {"enum": ["low", "high"]},
                "text": {"type": "string", "maxLength": length, "pattern": "^[a-z ]*$"},
            },
            "required": ["level", "text"],
            "additionalProperties": False,
        }
    )
    for length in (0, 5, 20)
]


@pytest.fixture(scope="module", params=[False, True], ids=["no start token", "start token"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("t") / "tokenizer.json", start=request.param))


def decoder(tokenizer: Tokenizer, context_length: int = 4096) -> tuple[Decoder, HashRunner]:
    runner = HashRunner(tokenizer.vocab_size, context_length)
    return Decoder(runner, tokenizer, "digest"), runner


# Prompts that share beginnings of every length around the bounds of chunks.
PROMPTS = st.builds(
    lambda shared, own: "x" * shared + own + "?",
    st.integers(0, 3 * CHUNK + 1),
    st.text("ab</s>", max_size=CHUNK),
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(PROMPTS, st.sampled_from(GRAMMARS)), min_size=1, max_size=5))
def test_an_answer_is_that_of_the_slow_way_whatever_was_asked_before(
    tokenizer: Tokenizer, questions: list[tuple[str, Grammar]]
) -> None:
    fast, _ = decoder(tokenizer)
    for prompt, grammar in questions:
        slow, _ = decoder(tokenizer)
        assert fast.generate(prompt, grammar, 400) == generate_plainly(slow, prompt, grammar, 400)


def test_the_chunks_that_a_prompt_shares_with_the_last_one_are_not_computed_again(tokenizer: Tokenizer) -> None:
    fast, runner = decoder(tokenizer)
    shared = "y" * (2 * CHUNK + 5)
    fast.generate(shared + "a", GRAMMARS[0], 99)
    first = list(runner.computed)
    runner.computed.clear()
    fast.generate(shared + "b", GRAMMARS[0], 99)
    assert [len(call) for call in first[:3]] == [CHUNK, CHUNK, len(first[2])]
    assert len(runner.computed) == len(first) - 2
    assert len(runner.computed[0]) == len(first[2])


def test_a_prompt_is_computed_in_the_same_pieces_whatever_was_asked_before(tokenizer: Tokenizer) -> None:
    """Kernels round differently for different numbers of tokens, so the pieces are part of the result."""
    fresh, alone = decoder(tokenizer)
    used, runner = decoder(tokenizer)
    prompt = "z" * (3 * CHUNK + 7)
    fresh.generate(prompt, GRAMMARS[1], 99)
    for length in range(0, 3 * CHUNK + 7, 5):
        used.generate("z" * length + "!", GRAMMARS[1], 99)
        runner.computed.clear()
        used.generate(prompt, GRAMMARS[1], 99)
        assert runner.computed == alone.computed[len(alone.computed) - len(runner.computed) :]


def test_what_is_forced_at_the_end_is_not_computed_and_forced_runs_are_one_call(tokenizer: Tokenizer) -> None:
    fast, runner = decoder(tokenizer)
    text = fast.generate("q", GRAMMARS[0], 99)
    assert text in ('{"level":"low","text":""}', '{"level":"high","text":""}')
    assert len(runner.computed) == 1  # the prompt with `{"level":"`; one choice; the rest follows from it


def test_after_a_failure_the_next_answer_is_right(tokenizer: Tokenizer) -> None:
    fast, runner = decoder(tokenizer)
    prompt = "w" * (3 * CHUNK)
    expected = decoder(tokenizer)[0].generate(prompt, GRAMMARS[2], 99)
    for calls in range(6):
        runner.fail_after = calls
        with pytest.raises(OSError, match="device lost"):
            fast.generate("w" * (2 * CHUNK) + "v" * CHUNK * 2 + str(calls), GRAMMARS[2], 99)
        runner.fail_after = None
        assert fast.generate(prompt, GRAMMARS[2], 99) == expected


def test_a_prompt_that_does_not_fit_is_refused_before_it_costs_anything(tokenizer: Tokenizer) -> None:
    fast, runner = decoder(tokenizer, context_length=100)
    with pytest.raises(TooLong, match="context of 100"):
        fast.generate("p" * 60, GRAMMARS[0], 50)
    assert runner.computed == []
    assert fast.generate("p" * 40, GRAMMARS[0], 50)


def test_a_prompt_without_any_token_is_refused(tokenizer: Tokenizer) -> None:
    fast, _ = decoder(tokenizer)
    if tokenizer.start:
        assert fast.generate("", GRAMMARS[0], 50)
    else:
        with pytest.raises(Unsupported, match="without any token"):
            fast.generate("", GRAMMARS[0], 50)


def test_an_answer_that_does_not_end_in_time_is_no_answer(tokenizer: Tokenizer) -> None:
    fast, _ = decoder(tokenizer)
    whole = fast.generate("p", GRAMMARS[2], 99)
    length = len(tokenizer.encode(whole))
    with pytest.raises(Unfinished, match="after 5 tokens"):
        fast.generate("p", GRAMMARS[2], 5)
    assert length > 5


def test_a_decoder_is_a_generator_and_is_named(tokenizer: Tokenizer) -> None:
    generator: Generator = decoder(tokenizer)[0]
    assert generator.digest == "digest"
    generator.close()


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(PROMPTS, st.sampled_from(GRAMMARS), st.sampled_from([5, 60, 400])), min_size=1, max_size=12),
    st.integers(1, 8),
    st.sampled_from([1, 1 << 30]),
    st.booleans(),
    st.randoms(),
)
def test_an_answer_is_that_of_the_slow_way_whatever_is_answered_beside_it(
    tokenizer: Tokenizer, questions: list[tuple[str, Grammar, int]], slots: int, burst: int, copies: bool, dice: Random
) -> None:
    runner = HashRunner(tokenizer.vocab_size, slots=slots, burst=burst, copies=copies)
    together = Decoder(runner, tokenizer, "digest")
    waiting = list(enumerate(questions))
    begun: dict[Answering, int] = {}
    told: dict[int, str] = {}
    while waiting or begun:
        while waiting and together.num_free and (not begun or dice.random() < 0.6):
            number, question = waiting.pop(0)
            answering = together.begin(*question)
            begun[answering] = number
        finished = [one for one in begun if one.done] or together.advance()
        for one in finished:
            told[begun.pop(one)] = _said(partial(together.text, one))
    assert together.num_free == slots
    for number, (prompt, grammar, most) in enumerate(questions):
        slow, _ = decoder(tokenizer)
        assert told[number] == _said(partial(generate_plainly, slow, prompt, grammar, most))


def _said(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Unfinished as error:
        return f"no answer: {error}"


def test_a_slot_takes_over_what_another_one_knows_of_a_prompt(tokenizer: Tokenizer) -> None:
    runner = HashRunner(tokenizer.vocab_size, slots=2, burst=1)
    together = Decoder(runner, tokenizer, "digest")
    shared = "y" * (2 * CHUNK + 5)
    first, second = (together.begin(shared + own, GRAMMARS[2], 99) for own in "ab")
    assert [len(call) for call in runner.computed] == [CHUNK, CHUNK, len(runner.computed[2]), len(runner.computed[2])]
    assert second.computed == first.computed - 2 * CHUNK
    while not (first.done and second.done):
        together.advance()
    assert 2 in runner.steps


def test_a_fault_leaves_no_answer_in_the_making_and_the_next_one_is_right(tokenizer: Tokenizer) -> None:
    runner = HashRunner(tokenizer.vocab_size, slots=4, burst=1)
    together = Decoder(runner, tokenizer, "digest")
    expected = decoder(tokenizer)[0].generate("w" * 3 * CHUNK, GRAMMARS[2], 99)
    begun = [together.begin("w" * (2 * CHUNK + number), GRAMMARS[2], 99) for number in range(3)]
    runner.fail_after = 4
    with pytest.raises(OSError, match="device lost"):
        while True:
            together.advance()
    assert set(together.abandon()) <= set(begun) and together.num_free == 4
    runner.fail_after = None
    assert together.generate("w" * 3 * CHUNK, GRAMMARS[2], 99) == expected
