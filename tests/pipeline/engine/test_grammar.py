import json
import random
from typing import Any

import numpy as np
import pytest

from pipeline.engine.errors import ModelDamaged, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.grammar import Grammars
from pipeline.engine.tokens import Tokenizer
from tests.pipeline.engine.byte_tokenizer import write_tokenizer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "level": {"enum": ["medium", "high"]},
        "text": {"type": "string", "minLength": 3, "maxLength": 9, "pattern": r"^[A-Z](?:[a-z ]|\{path\})*\.$"},
        "action": {"enum": ["sysctl.set", None]},
        "controls": {"type": "string", "pattern": r"^(?: n53:SC\-30)?(?: n53:AC\-3)?$"},
    },
    "required": ["level", "text", "action", "controls"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"))


def walk(grammars: Grammars, tokenizer: Tokenizer, schema: dict[str, Any], seed: int) -> tuple[str, int]:
    """Let chance choose; gives the text and how many tokens it chose."""
    rng = np.random.default_rng(seed)
    constraint = grammars.start(Grammar.of(schema))
    tokens, chosen = constraint.forced(), 0
    while not constraint.done:
        taken = constraint.take(rng.standard_normal(tokenizer.vocab_size, dtype=np.float32))
        if not taken:
            break
        tokens += taken
        chosen += 1
    return tokenizer.decode(tokens), chosen


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_chosen_the_answer_meets_its_schema_and_holds_no_blank_between_parts(
    seed: int, tokenizer: Tokenizer
) -> None:
    text, chosen = walk(Grammars(tokenizer), tokenizer, SCHEMA, seed)
    body = json.loads(text)
    assert list(body) == SCHEMA["required"]
    assert text == json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    assert body["level"] in ("medium", "high") and body["action"] in ("sysctl.set", None)
    assert 3 <= len(body["text"]) <= 9 and body["text"][0].isupper() and body["text"].endswith(".")
    assert body["controls"] in ("", " n53:SC-30", " n53:AC-3", " n53:SC-30 n53:AC-3")
    assert chosen < len(tokenizer.encode(text)) / 2  # most of it is forced


@pytest.mark.parametrize("seed", range(10))
def test_the_short_way_to_the_likeliest_token_chooses_what_looking_at_all_of_them_does(
    seed: int, tokenizer: Tokenizer
) -> None:
    """Scores with few values, so that equals are common; the odd ones out favour a token that is allowed."""
    rng = np.random.default_rng(seed)
    constraint, other = (Grammars(tokenizer).start(Grammar.of(SCHEMA)) for _ in range(2))
    short = 0
    assert constraint.forced() == other.forced()
    while not constraint.done:
        logits = rng.integers(0, 4, tokenizer.vocab_size).astype(np.float32)
        expected = other.take_among_all(logits)
        if expected and rng.random() < 0.5:
            logits[expected[0]] = 9
        short += bool(expected) and logits.argmax() == expected[0]
        assert constraint.take(logits) == expected
        if not expected:
            break
    assert short


def test_a_schema_cannot_ask_for_blanks(tokenizer: Tokenizer) -> None:
    loose = {**SCHEMA, "x-guidance": {"whitespace_flexible": True}}
    text, _ = walk(Grammars(tokenizer), tokenizer, loose, 1)
    assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def test_a_grammar_that_was_kept_gives_what_a_new_one_gives(tokenizer: Tokenizer) -> None:
    kept = Grammars(tokenizer, capacity=2)
    schemas = [{**SCHEMA, "properties": {**SCHEMA["properties"], "level": {"enum": [name]}}} for name in "abc"]
    order = [index for _ in range(4) for index in random.Random(3).sample(range(3), 3)]
    for seed, index in enumerate(order):
        assert walk(kept, tokenizer, schemas[index], seed) == walk(Grammars(tokenizer), tokenizer, schemas[index], seed)


@pytest.mark.parametrize(
    "schema",
    [{"type": "array", "items": {"enum": ["a"]}, "uniqueItems": True}, {"type": "nonsense"}, {"$ref": "#/nowhere"}],
)
def test_a_schema_that_cannot_be_enforced_is_refused(schema: dict[str, Any], tokenizer: Tokenizer) -> None:
    with pytest.raises(Unsupported, match="cannot be enforced") as raised:
        Grammars(tokenizer).start(Grammar.of(schema))
    assert "\n" not in str(raised.value)


def test_text_that_is_no_schema_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(Unsupported, match="not a JSON schema"):
        Grammars(tokenizer).start(Grammar("{"))


def test_of_equal_scores_the_lower_token_is_chosen_and_a_forbidden_one_never(tokenizer: Tokenizer) -> None:
    constraint = Grammars(tokenizer).start(Grammar.of({"enum": ["a", "b"]}))
    constraint.forced()
    logits = np.zeros(tokenizer.vocab_size + 7, dtype=np.float32)  # padded beyond the vocabulary, as models are
    low, high = sorted(tokenizer.encode(letter)[0] for letter in "ab")
    logits[-7:] = logits[low - 1] = 9
    assert constraint.take(logits)[0] == low
    constraint = Grammars(tokenizer).start(Grammar.of({"enum": ["a", "b"]}))
    constraint.forced()
    logits[high] = 1
    assert constraint.take(logits)[0] == high


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
def test_scores_that_are_no_numbers_mean_a_damaged_model(score: str, tokenizer: Tokenizer) -> None:
    constraint = Grammars(tokenizer).start(Grammar.of({"enum": ["a", "b"]}))
    constraint.forced()
    with pytest.raises(ModelDamaged):
        constraint.take(np.full(tokenizer.vocab_size, float(score), dtype=np.float32))


def test_grammars_are_named_by_what_they_say() -> None:
    assert Grammar.of(SCHEMA).digest == Grammar.of(json.loads(json.dumps(SCHEMA))).digest
    assert Grammar.of(SCHEMA).digest != Grammar.of({**SCHEMA, "additionalProperties": True}).digest
