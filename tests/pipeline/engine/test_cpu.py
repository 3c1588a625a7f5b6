import platform
from pathlib import Path

from pipeline.engine.cpu import instruction_sets


def test_the_instruction_sets_that_kernels_choose_by_are_named_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: sse avx512_vnni avx2 fma avx2x\nflags: amx_int8\n")
    assert instruction_sets(tmp_path) == (platform.machine(), "avx2", "fma", "avx512_vnni")
    (tmp_path / "cpuinfo").write_text("Features\t: fp asimd asimddp i8mm\n")
    assert instruction_sets(tmp_path) == (platform.machine(), "asimd", "asimddp", "i8mm")
    assert instruction_sets(tmp_path / "none") == (platform.machine(),)
