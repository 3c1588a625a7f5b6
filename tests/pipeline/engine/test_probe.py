from pipeline.engine.probe import measure
from tests.pipeline.engine.hash_runner import HashRunner


def test_measuring_computes_what_it_says_and_leaves_an_empty_cache() -> None:
    runner = HashRunner(300)
    speed = measure(runner, prompt_tokens=64, answer_tokens=8, rounds=2)
    assert speed.prefill > 0 and speed.decode > 0
    assert [len(call) for call in runner.computed] == ([32] * 2 + [1] * 8) * 2
    first = runner.append(0, (5,))
    assert (first == HashRunner(300).append(0, (5,))).all()
