import platform
from pathlib import Path

from pipeline.engine.probe import instruction_sets, measure
from tests.pipeline.engine.hash_runner import HashRunner


def test_the_instruction_sets_that_kernels_choose_by_are_named_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: sse avx512_vnni avx2 fma avx2x\nflags: amx_int8\n")
    assert instruction_sets(tmp_path) == (platform.machine(), "avx2", "fma", "avx512_vnni")
    (tmp_path / "cpuinfo").write_text("Features\t: fp asimd asimddp i8mm\n")
    assert instruction_sets(tmp_path) == (platform.machine(), "asimd", "asimddp", "i8mm")
    assert instruction_sets(tmp_path / "none") == (platform.machine(),)


def test_measuring_computes_what_it_says_and_leaves_an_empty_cache() -> None:
    runner = HashRunner(300)
    speed = measure(runner, prompt_tokens=64, answer_tokens=8, rounds=2)
    assert speed.prefill > 0 and speed.decode > 0
    assert [len(call) for call in runner.computed] == ([32] * 2 + [1] * 8) * 2
    first = runner.append((5,))
    assert (first == HashRunner(300).append((5,))).all()
