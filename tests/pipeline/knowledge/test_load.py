"""An operator's knowledge.d adds and overrides; a bad file is refused with file, line and reason."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import KnowledgeError
from pipeline.features import load_features
from pipeline.finding import RawFinding
from pipeline.knowledge import load
from pipeline.knowledge.load import DATA, compile_knowledge, load_knowledge
from pipeline.knowledge.source import read_sources
from tests.pipeline.sessions import documents, lines_of, made_up, report, resources, session_of

NEW_CLASS = """\
classes:
  backup.stale:
    scanner: backup
    category: backup
    title: Backup too old
    meaning: The last backup of a data set is older than it should be.
    match: {id: '\\Abackup:(?P<name>[a-z]+)\\Z', severities: [high]}
    slots: {name: {source: id, type: name, identity: true}}
    status: [{status: open, basis: class}]
    severity: high
    analysis: [{assessment: 'The backup of {name} is too old.', impact: Work may be lost.}]
"""


@pytest.fixture(autouse=True, scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile once, as an installation does; what lies in the checkout may be old."""
    target = tmp_path_factory.mktemp("compiled") / "compiled.json"
    compile_knowledge(load_features, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "COMPILED", target)
        yield


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


def test_a_class_is_added_and_used(tmp_path: Path) -> None:
    known = load_knowledge(load_features, [write(tmp_path / "knowledge.d", backup=NEW_CLASS)])
    assert known.digest != load_knowledge(load_features).digest
    assert len(known.classes) == len(load_knowledge(load_features).classes) + 1
    finding = RawFinding("backup", "backup:mail", "high", "Old", "Too old", 70, {})
    (line,) = documents(lines_of(session_of(made_up([finding]), resources(known=known), {})))
    assert (line["class"], line["status"], line["slots"]) == ("backup.stale", "open", {"name": "mail"})
    assert line["analysis"]["assessment"] == "The backup of mail is too old."


def test_one_field_is_overridden_and_the_others_stay(tmp_path: Path) -> None:
    text = "classes:\n  kernel_params.kptr_restrict: {title: Kernel addresses show}\n"
    known, ours = load_knowledge(load_features, [write(tmp_path / "d", a=text)]), load_knowledge(load_features)
    before, after = ours.classes["kernel_params.kptr_restrict"], known.classes["kernel_params.kptr_restrict"]
    assert after.title == "Kernel addresses show"
    assert after.model_copy(update={"title": before.title}) == before
    assert known.model_copy(update={"classes": ours.classes, "digest": ours.digest}) == ours


def test_of_several_files_the_last_name_counts_whatever_the_disk_says(tmp_path: Path) -> None:
    texts = {name: f"techniques: {{T9999: {name}}}\n" for name in ("c", "a", "b")}
    assert load_knowledge(load_features, [write(tmp_path / "d", **texts)]).techniques["T9999"] == "c"


def test_an_empty_or_missing_directory_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        load_knowledge(load_features, [tmp_path / "empty", tmp_path / "missing"]).digest
        == load_knowledge(load_features).digest
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("classes:\n  backup.new: {title: x}\n", 2, "Field required"),
        (NEW_CLASS + "    topics: [{topic: kernel.nosuch}]\n", 12, "no such topic: kernel.nosuch"),
        (NEW_CLASS.replace("{name} is", "{nmae} is"), 11, "no such slot: nmae"),
        (NEW_CLASS.replace("id, type: name", "title, type: nam"), 8, "type"),
        (NEW_CLASS.replace("[a-z]+)", "[a-z+)"), 7, "regular expression"),
        (NEW_CLASS + "    remediation: [{use: do.nothing}]\n", 12, "no such remediation: do.nothing"),
        (NEW_CLASS + "    colour: red\n", 12, "Extra inputs"),
        (NEW_CLASS + "    absence_needs: {class: backup.run}\n", 12, "no such class: backup.run"),
        (NEW_CLASS + "    title: again\n", 12, "'title' stands twice"),
        (NEW_CLASS + NEW_CLASS, 12, "'classes' stands twice"),
        ("clases: {}\n", 1, "no such section: clases"),
        ("digest: abc\n", 1, "no such section: digest"),
        ("classes: [a]\n", 1, "mapping from ids to entries"),
        ("artefacts:\n  a: {classes: [no.such], degree: likely, why: w, check: c}\n", 2, "no such class: no.such"),
        ("classes:\n  mac.none: {severity: awful}\n", 2, "severity"),
        ("units:\n  a.service: {role: nosuch}\n", 2, "no such role: nosuch"),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_reason(text: str, line: int, reason: str, tmp_path: Path) -> None:
    directory = write(tmp_path / "knowledge.d", good=NEW_CLASS.replace("backup.stale", "backup.other"), own=text)
    with pytest.raises(KnowledgeError) as refused:
        load_knowledge(load_features, [directory])
    message = str(refused.value)
    assert message.startswith(f"{directory / 'own.yaml'}:{line}: "), message
    assert reason in message
    assert "\n" not in message


def test_an_override_that_breaks_a_shipped_reference_is_refused(tmp_path: Path) -> None:
    directory = write(tmp_path / "d", own="remediations:\n  sysctl.set: {params: [other]}\n")
    with pytest.raises(KnowledgeError, match=r"own\.yaml:1: .*sysctl\.set takes \['other'\]"):
        load_knowledge(load_features, [directory])


def test_what_is_defined_in_two_shipped_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a=NEW_CLASS, b=NEW_CLASS)
    with pytest.raises(KnowledgeError, match=r"b\.yaml:2: classes\.backup\.stale is defined twice"):
        read_sources({}, [tmp_path / "a.yaml", tmp_path / "b.yaml"], own=tmp_path, features=load_features())


def test_compiled_and_written_knowledge_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "compiled.json"
    assert load_knowledge(load_features) == compile_knowledge(load_features, target)
    assert target.read_bytes() == load.COMPILED.read_bytes()
    extended = write(tmp_path / "d", a="techniques: {T9999: x}\n")
    over_compiled = load_knowledge(load_features, [extended])
    monkeypatch.setattr(load, "COMPILED", tmp_path / "missing.json")
    over_written = load_knowledge(load_features, [extended])
    assert over_compiled == over_written
    assert over_compiled.digest == over_written.digest


@pytest.mark.parametrize("damage", ["body", "seal", "source"])
def test_compiled_knowledge_that_is_damaged_or_old_is_not_used(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, target = tmp_path / "data", tmp_path / "compiled.json"
    shutil.copytree(DATA, data)
    shutil.copy(load.COMPILED, target)
    monkeypatch.setattr(load, "DATA", data)
    monkeypatch.setattr(load, "COMPILED", target)
    assert load._read_compiled() is not None
    if damage == "source":
        file = data / "classes" / "mac.yaml"
        file.write_text(file.read_text() + "\n# changed\n")
    else:
        content = bytearray(target.read_bytes())
        content[-10 if damage == "body" else 3] ^= 1
        target.write_bytes(content)
    assert load._read_compiled() is None


def test_an_operators_class_is_classified_beside_ours(tmp_path: Path) -> None:
    known = load_knowledge(load_features, [write(tmp_path / "d", backup=NEW_CLASS)])
    name = "db02-default.json"
    ours = documents(lines_of(session_of(report(name), resources(), {})))
    theirs = documents(lines_of(session_of(report(name), resources(known=known), {})))
    assert [line["class"] for line in ours] == [line["class"] for line in theirs]
