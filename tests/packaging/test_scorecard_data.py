"""The installed package measures on the very holdouts of the sources."""

from pathlib import Path

from pipeline.scorecard.holdouts import read_holdouts
from tests.packaging.build import install, run_installed


def test_the_holdouts_come_along(wheel: Path, tmp_path: Path) -> None:
    target = install(wheel, tmp_path / "installed")
    program = "from pipeline.scorecard.holdouts import read_holdouts; print(read_holdouts().digest)"
    done = run_installed(target, tmp_path, "-c", program)
    assert done.stdout.decode().strip() == read_holdouts().digest, done.stderr.decode()
