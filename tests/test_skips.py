"""`--skips`: what was not run is not called passed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.build import ROOT

FILES = {
    "passes": "def test_it(): pass\n",
    "skips": "import pytest\ndef test_it(): pytest.skip('no strace')\n",
    "skips by a mark": "import pytest\n@pytest.mark.skipif(True, reason='no strace')\ndef test_it(): pass\n",
    "skips in a fixture": "import pytest\n@pytest.fixture\ndef one(): pytest.skip('no root')\ndef test_it(one): pass\n",
    "skips as a file": "import pytest\npytest.importorskip('no_such_package')\ndef test_it(): pass\n",
    "needs the trainer": "from tests.skips import needs_trainer\ndef test_it(): needs_trainer('no_such_package')\n",
    "needs the trainer as a file": "from tests.skips import needs_trainer\nneeds_trainer('no_such_package')\n",
    "fails as expected": "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n",
}
WELL = {
    "any": set(FILES),
    "trainer": {"passes", "needs the trainer", "needs the trainer as a file", "fails as expected"},
    "none": {"passes", "fails as expected"},
}


def run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(directory), "-p", "tests.skips"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("allowed", WELL)
def test_what_may_not_skip_itself_fails(allowed: str, tmp_path: Path) -> None:
    """One run over all files, each in a name of its own, tells them apart."""
    for number, content in enumerate(FILES.values()):
        (tmp_path / f"test_{number}.py").write_text(content)
    done = run(tmp_path, "--skips", allowed, "--continue-on-collection-errors", "-rfE", ".")
    failed = {name for number, name in enumerate(FILES) if f"test_{number}.py" in done.stdout.partition("summary")[2]}
    assert failed == set(FILES) - WELL[allowed], done.stdout
    assert (done.returncode == 0) == (not failed)


def test_a_file_without_a_test_and_a_test_that_is_left_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "test_one.py").write_text("def test_it(): pass\ndef test_other(): pass\n")
    assert run(tmp_path, "--skips", "none", ".").returncode == 0
    left_out = run(tmp_path, "--skips", "none", "-k", "other", ".")
    assert left_out.returncode != 0
    assert "1 tests are deselected" in left_out.stderr + left_out.stdout
    (tmp_path / "below" / "test_empty.py").write_text("")
    empty = run(tmp_path, "--skips", "none", ".")
    assert empty.returncode != 0
    assert "no test was collected from" in empty.stderr + empty.stdout
    ignored = run(tmp_path, "--skips", "none", "--ignore", "below", ".")
    assert ignored.returncode != 0
