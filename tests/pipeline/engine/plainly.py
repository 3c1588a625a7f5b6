"""The slow way to answer: nothing is reused, and one token is computed at a time; what `Decoder` is compared with."""

from pipeline.engine.decoder import Decoder
from pipeline.engine.errors import Unfinished
from pipeline.engine.generator import Grammar


def generate_plainly(decoder: Decoder, prompt: str, grammar: Grammar, max_tokens: int) -> str:
    """Answer with the runner of a decoder that is not used otherwise."""
    runner, tokenizer = decoder.runner, decoder.tokenizer
    constraint = decoder._grammars.start(grammar)
    runner.rewind(0, 0)
    answer = constraint.forced()
    for token in [*tokenizer.start, *tokenizer.encode(prompt), *answer]:
        logits = runner.append(0, (token,))
    while not constraint.done:
        chosen = constraint.take(logits)
        if not chosen:
            break
        for token in chosen:
            logits = runner.append(0, (token,))
            answer.append(token)
        if not constraint.done and len(answer) >= max_tokens:
            break
    if len(answer) > max_tokens or not (constraint.done or not chosen):
        raise Unfinished(f"the answer is not complete after {max_tokens} tokens")
    return tokenizer.decode(answer)
