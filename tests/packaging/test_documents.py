"""The documents name what exists, and the examples that they install work."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from daemon.resources import open_resources
from daemon.settings import Settings
from daemon.version import VERSION
from tests.packaging.build import REPORT, ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_the_tree_of_the_readme_is_that_of_the_repository() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.partition("## Where things are")[2].partition("```text\n")[2].partition("```")[0]
    parent = ROOT
    named = 0
    for line in tree.splitlines():
        within = ROOT
        if line.startswith("  "):
            within = parent
        for word in line.split():
            if not re.fullmatch(r"[a-z_]+(?:/[a-z_]+)*(?:/|\.py)", word):
                continue
            if word.startswith(("tests/data", "docs/")) and within != ROOT:
                within = ROOT
            assert (within / word).exists(), line
            named += 1
            if not line.startswith(" ") and word.endswith("/") and word == line.split()[0]:
                parent = ROOT / word
    assert named > 25


def test_the_finding_in_the_readme_is_what_comes_out() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "analyze", str(REPORT)], capture_output=True, cwd=ROOT, check=True
    )
    real = next(
        line for line in map(json.loads, done.stdout.splitlines()) if line.get("dedupe_key") == shown["dedupe_key"]
    )
    assert list(shown) == list(real)
    # Digests of knowledge change with every release; the baseline is the daemon's, and the controls are shortened.
    same = set(real) - {"analysis", "baseline", "compliance", "provenance"}
    assert {name: shown[name] for name in same} == {name: real[name] for name in same}
    assert all(control in real["compliance"] for control in shown["compliance"])
    assert shown["analysis"]["assessment"] == real["analysis"]["assessment"]


def test_the_documents_and_the_package_have_the_version() -> None:
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    shown = re.search(r'"agent": "([^"]+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert newest is not None and shown is not None
    assert newest[1] == shown[1] == VERSION == metadata.version("sysscan-agent")


def test_every_make_target_in_the_documents_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    used = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", document.read_text(encoding="utf-8"))
    }
    assert {"demo", "test"} <= used <= targets


def test_the_example_of_a_policy_and_of_knowledge_is_accepted() -> None:
    resources = open_resources(
        Settings(
            state_dir=Path("/nowhere"),
            knowledge_dirs=(ROOT / "config" / "knowledge.d",),
            policy_files=(ROOT / "config" / "policy.yaml",),
        )
    )
    assert len(resources.policy.allow) == 2
    assert "order-entry.service" in resources.knowledge.units


def test_every_dependency_is_pinned_to_the_version_that_is_tested() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in requirements
        if one.marker is None or one.marker.evaluate()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {canonicalize_name(re.split(r"[<>=!~\[; ]", requirement)[0]) for requirement in wanted}
    assert names <= set(pins)
    installed = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}
    assert {name: installed[name] for name in names} == {name: pins[name] for name in names}
