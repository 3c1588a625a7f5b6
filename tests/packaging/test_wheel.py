"""What is in the package, and that it works where the repository is not."""

import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from tests.packaging.build import REPORT, ROOT, run_installed

OURS = {"daemon", "pipeline", "trainer"}


def test_the_wheel_holds_our_three_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        roots = {name.partition("/")[0] for name in archive.namelist()}
    assert roots == {*OURS, f"{wheel.name.split('-py3')[0]}.dist-info"}


def test_the_wheel_holds_the_knowledge_both_compiled_and_as_yaml(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline" / "knowledge" / "data").rglob("*.yaml")}
    assert len(sources) > 20
    assert sources <= inside
    assert "pipeline/knowledge/compiled.json" in inside


def test_the_wheel_holds_the_list_of_words(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("pipeline/retrieval/data/vocabulary.json")
    assert packed == (ROOT / "pipeline" / "retrieval" / "data" / "vocabulary.json").read_bytes()


def test_the_wheel_holds_what_the_review_page_is_drawn_with(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    web = ROOT / "daemon" / "review" / "web"
    drawn = {path.relative_to(ROOT).as_posix() for name in ("static", "templates") for path in (web / name).iterdir()}
    assert len(drawn) > 8 and drawn <= inside


def test_the_wheel_holds_the_licence_and_the_notice(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name for name in archive.namelist() if ".dist-info/licenses/" in name}
    assert names == {"LICENSE", "NOTICE"}


def test_no_dependency_ships_a_package_of_the_same_name() -> None:
    """The names are short; a dependency with a top-level `daemon` would shadow ours or be shadowed."""
    taken: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name == "sysscan-agent":
            continue
        for file in distribution.files or ():
            root = file.parts[0].removesuffix(".py")
            if root in OURS:
                taken[root] = name
    assert taken == {}


def test_the_installed_package_says_the_same_as_the_checkout(target: Path, tmp_path: Path) -> None:
    installed = run_installed(target, tmp_path, "-m", "daemon.cli", "analyze", str(REPORT))
    assert installed.returncode == 0, installed.stderr.decode()
    checkout = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "analyze", str(REPORT)], capture_output=True, cwd=ROOT, check=True
    )
    assert installed.stdout.count(b"\n") > 90
    assert installed.stdout == checkout.stdout


def test_the_installed_package_uses_its_compiled_knowledge_and_no_file_of_the_repository(
    target: Path, tmp_path: Path
) -> None:
    # What is opened is asked of the interpreter itself: the editable installation of the tests is on the path, too.
    script = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
sys.argv = ["sysscan-agent", "analyze", {str(REPORT)!r}]
from daemon.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.stderr.write("\\n".join(opened))
"""
    done = run_installed(target, tmp_path, "-c", script)
    assert done.returncode == 0, done.stderr.decode()
    opened = set(done.stderr.decode().splitlines())
    assert str(target / "pipeline" / "knowledge" / "compiled.json") in opened
    inside = {path for path in opened if path.startswith((f"{ROOT}/daemon", f"{ROOT}/pipeline", f"{ROOT}/trainer"))}
    assert inside == set()


def test_the_command_line_pulls_in_no_library_for_training() -> None:
    """Asking the model takes ONNX Runtime and no torch; attempts count, whether it is installed or not."""
    script = f"""
import sys
from importlib.abc import MetaPathFinder
HEAVY = {{"torch", "transformers", "tokenizers", "gptqmodel", "peft", "datasets", "pandas"}}
class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            sys.stderr.write(f"wanted {{name}}\\n")
        return None
sys.meta_path.insert(0, Refuse())
if sys.argv[1:] == ["control"]:
    try:
        import torch
    except ImportError:
        pass
    raise SystemExit
sys.argv = ["sysscan-agent", "analyze", {str(REPORT)!r}]
from daemon.cli.app import main
main()
"""
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    control = subprocess.run([*run, "control"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "wanted torch\n" in control.stderr
