"""The registry: one incumbent at every moment, models that are whole or not there, and a way back."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipeline.errors import RegistryError
from pipeline.models.registry import EMBEDDED, Registry
from tests.depth import examples
from tests.pipeline.engine.directories import lay_out

AT = "2026-11-29T12:00:00Z"


def make(directory: Path, text: str) -> Path:
    """Lay out a model whose files say `text`."""
    lay_out(directory, name=text)
    (directory / "README.md").write_text(text)
    lay_out(directory, name=text)  # lists it
    return directory


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def promote(registry: Registry, wanted: str, keep: int = 3) -> str:
    return registry.promote(wanted, at=AT, by="a test", reason="because", keep=keep).digest


def roll_back(registry: Registry, keep: int = 3) -> str:
    return registry.rollback(at=AT, by="a test", reason="because", keep=keep).digest


def test_without_a_registry_the_model_of_the_program_answers(registry: Registry) -> None:
    assert registry.incumbent().digest == EMBEDDED
    assert [one.digest for one in registry.entries()] == [EMBEDDED]
    assert not registry.directory.exists()


def test_what_is_promoted_answers_and_a_rollback_goes_one_further_back_each_time(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = (registry.add(make(tmp_path / name, name)).digest for name in ("one", "two"))
    assert registry.incumbent().digest == EMBEDDED  # adding is not promoting
    promote(registry, one)
    promote(registry, two[:10])
    assert registry.incumbent().name == "two"
    assert roll_back(registry) == one == registry.incumbent().digest
    assert roll_back(registry) == EMBEDDED
    with pytest.raises(RegistryError, match="nothing to go back from"):
        roll_back(registry)
    assert [(one.kind, one.name) for one in registry.history()][:3] == [
        ("promote", "one"), ("promote", "two"), ("rollback", "one"),
    ]  # fmt: skip


def test_to_promote_what_answers_changes_nothing_and_the_way_back_leads_to_another(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = (registry.add(make(tmp_path / name, name)).digest for name in ("one", "two"))
    promote(registry, EMBEDDED)
    assert registry.history() == []
    promote(registry, one)
    promote(registry, two)
    pointer = (registry.directory / "incumbent.json").read_bytes()
    again = registry.promote(two, at=AT, by="a test", reason="again", keep=3)
    assert again.kind == "unchanged" and (registry.directory / "incumbent.json").read_bytes() == pointer
    assert roll_back(registry) == one
    assert roll_back(registry) == EMBEDDED


def test_a_history_that_names_one_twice_in_a_row_leads_back_to_another(registry: Registry, tmp_path: Path) -> None:
    """Older versions noted it each time, and each rollback took one of them."""
    one, two = (registry.add(make(tmp_path / name, name)).digest for name in ("one", "two"))
    promote(registry, one)
    promote(registry, two)
    pointer = registry.directory / "incumbent.json"
    body = json.loads(pointer.read_bytes())
    for kind in ("promote", "rollback"):
        body["history"].append({**body["history"][1], "kind": kind})
        pointer.write_text(json.dumps(body))
        assert Registry(registry.directory).incumbent().digest == two
    assert roll_back(registry) == one


def test_a_changed_manifest_is_another_model_and_found_where_it_lies(registry: Registry, tmp_path: Path) -> None:
    source = make(tmp_path / "one", "one")
    manifest = source / "manifest.json"
    right = manifest.read_bytes()
    manifest.write_bytes(right.replace(b"prompt/1", b"prompt/9"))
    wrong = registry.add(source)
    manifest.write_bytes(right)
    entry = registry.add(source)
    assert entry.digest != wrong.digest and entry.manifest is not None and wrong.manifest is not None
    assert entry.manifest.prompt_version == "prompt/1" and wrong.manifest.prompt_version == "prompt/9"
    registry.verify(entry)
    inside = entry.directory / "manifest.json"
    inside.write_bytes(right.replace(b'"one"', b'"two"'))
    with pytest.raises(RegistryError, match="its manifest or its list of files was changed"):
        promote(registry, entry.digest)
    found = registry.find(entry.digest)
    assert found.name == "?" and "was changed" in str(found.fault)


def test_a_model_that_an_older_version_named_by_its_files_alone_is_still_found(
    registry: Registry, tmp_path: Path
) -> None:
    entry = registry.add(make(tmp_path / "one", "one"))
    assert entry.manifest is not None
    before = entry.manifest.files_digest
    entry.directory.rename(registry.directory / before)
    assert promote(registry, before[:8]) == before == registry.incumbent().digest
    (registry.directory / before / "README.md").write_text("eno")
    with pytest.raises(RegistryError, match="sha256"):
        registry.verify(registry.find(before))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not an object with a history"),
        (b'{"schema": "sysscan.models/1", "history": [{"digest": 1}]}', "entry 1 of its history has no digest"),
        (b'{"schema": "sysscan.models/1", "history": [[]]}', "entry 1 of its history has no digest"),
        (b'{"schema": "sysscan.models/2", "history": []}', "this version reads"),
    ],
)
def test_a_pointer_that_cannot_be_read_is_said_in_words(registry: Registry, body: bytes, says: str) -> None:
    registry.directory.mkdir()
    (registry.directory / "incumbent.json").write_bytes(body)
    with pytest.raises(RegistryError, match=says) as raised:
        registry.incumbent()
    assert "incumbent.json" in str(raised.value) and "Error" not in str(raised.value)


def test_a_pointer_to_what_is_not_there_is_said_and_another_can_be_promoted(registry: Registry, tmp_path: Path) -> None:
    one = registry.add(make(tmp_path / "one", "one")).digest
    promote(registry, one)
    shutil.rmtree(registry.directory / one)
    with pytest.raises(RegistryError, match="which is not there") as raised:
        registry.incumbent()
    assert not raised.value.missing
    promote(registry, EMBEDDED)
    assert registry.incumbent().digest == EMBEDDED


def test_too_few_digits_are_said_to_be(registry: Registry, tmp_path: Path) -> None:
    one = registry.add(make(tmp_path / "one", "one")).digest
    with pytest.raises(RegistryError, match="give at least 6 digits"):
        registry.find(one[:3])


def _cut(path: Path) -> None:
    os.truncate(path / "onnx" / "model.onnx", 3)


def _change(path: Path) -> None:
    (path / "onnx" / "model.onnx").write_bytes(b"no_weights")


def _remove(path: Path) -> None:
    (path / "tokenizer.json").unlink()


def _pickle(path: Path) -> None:
    (path / "onnx" / "model.bin").write_bytes(b"\x80\x04N.")


def _link(path: Path) -> None:
    (path / "tokenizer.json").unlink()
    (path / "tokenizer.json").symlink_to("/etc/passwd")


def _other(path: Path) -> None:
    shutil.rmtree(path)
    make(path, "another, whole in itself")


@pytest.mark.parametrize("damage", [_cut, _change, _remove, _pickle, _link, _other])
def test_a_damaged_candidate_is_never_promoted_nor_gone_back_to(
    registry: Registry, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    one, two, three = (registry.add(make(tmp_path / name, name)) for name in ("one", "two", "three"))
    promote(registry, one.digest)
    promote(registry, two.digest)
    for entry in (one, three):
        damage(entry.directory)
    with pytest.raises(RegistryError):
        promote(registry, three.digest)
    with pytest.raises(RegistryError):
        roll_back(registry)
    assert registry.incumbent().digest == two.digest
    registry.verify(registry.incumbent())
    with pytest.raises(RegistryError):  # what lies there under the name is not what is added
        registry.add(tmp_path / "three")


@pytest.mark.parametrize("damage", [_cut, _change, _remove, _pickle, _link])
def test_what_is_no_whole_model_is_not_taken_in(
    registry: Registry, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    source = make(tmp_path / "one", "one")
    damage(source)
    with pytest.raises(RegistryError):
        registry.add(source)
    assert [one.digest for one in registry.entries()] == [EMBEDDED]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema":"other"}', '{"schema":"sysscan.models/1","history":[1]}'])
def test_a_pointer_that_cannot_be_read_is_said_and_nothing_is_guessed(registry: Registry, text: str) -> None:
    registry.directory.mkdir()
    (registry.directory / "incumbent.json").write_text(text)
    with pytest.raises(RegistryError, match=r"incumbent\.json"):
        registry.incumbent()


def test_a_digest_may_be_cut_short_but_not_be_doubtful(registry: Registry, tmp_path: Path) -> None:
    digest = registry.add(make(tmp_path / "one", "one")).digest
    assert registry.find(digest[:6]).digest == digest
    for unknown in (digest[:5], "0" * 64, "../../etc", "", "*"):
        with pytest.raises(RegistryError, match=r"no such model|too short") as raised:
            registry.find(unknown)
        assert raised.value.missing
    twin = registry.directory / (digest[:10] + "0" * 54)
    twin.mkdir()
    with pytest.raises(RegistryError, match="more than one"):
        registry.find(digest[:10])
    assert registry.find(digest).digest == digest


def test_who_comes_second_is_told_to_try_again(registry: Registry, tmp_path: Path) -> None:
    source = make(tmp_path / "one", "one")
    registry.add(source)
    descriptor = os.open(registry.directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(RegistryError, match="another command changes it"):
            registry.add(source)
    finally:
        os.close(descriptor)
    registry.add(source)


def test_those_that_answered_last_are_kept_and_candidates_stay(registry: Registry, tmp_path: Path) -> None:
    digests = [registry.add(make(tmp_path / f"m{number}", f"m{number}")).digest for number in range(6)]
    for digest in digests[:5]:
        promote(registry, digest, keep=2)
    there = {one.digest for one in registry.entries()}
    assert there == {EMBEDDED, *digests[2:5], digests[5]}  # the incumbent, two before it, and what never answered
    assert roll_back(registry, keep=2) == digests[3]
    assert digests[4] in {one.digest for one in registry.entries()}  # so that one may go forward again


_CALLS = ("fsync", "rename", "replace", "mkdir", "rmdir", "write")


@pytest.mark.parametrize("act", ["add", "promote", "rollback"])
def test_killed_at_any_call_there_is_one_incumbent_and_the_next_goes_on(tmp_path: Path, act: str) -> None:
    """Each call that changes the disk is the last one of a process in turn, before it and after it."""
    source, more = make(tmp_path / "one", "one"), make(tmp_path / "two", "two")
    whole = False
    at = 0
    while not whole:
        base = tmp_path / f"{act}-{at}"
        registry = Registry(base)
        one = registry.add(source).digest
        promote(registry, one)
        if act != "add":
            two = registry.add(more).digest
        if act == "rollback":
            promote(registry, two)
        before = registry.incumbent().digest
        whole = _in_a_child(lambda registry=registry: _act(registry, act, more), dies_at=at)  # type: ignore[misc]
        after = registry.incumbent()
        registry.verify(after)
        assert after.digest in {before, one if act == "rollback" else registry.find(after.digest).digest}
        for entry in registry.entries():  # nothing half is under a name
            registry.verify(entry)
        if after.digest == before or act == "add":
            _act(registry, act, more)
        expected = {"add": "one", "promote": "two", "rollback": "one"}[act]
        assert registry.incumbent().name == expected
        assert {entry.name for entry in registry.entries()} >= {"one", "two"}
        assert not list(base.glob(".incoming-*/"))
        at += 1
    assert at > 4


def _act(registry: Registry, act: str, source: Path) -> None:
    if act == "add":
        registry.add(source)
    elif act == "promote":
        promote(registry, registry.add(source).digest)
    else:
        roll_back(registry)


def _in_a_child(act: Callable[[], None], dies_at: int) -> bool:
    """Run in a fork that ends at the n-th call; returns whether it came to the end."""
    pid = os.fork()
    if not pid:
        left = dies_at

        def dying(call: Callable[..., object]) -> Callable[..., object]:
            def wrapped(*arguments: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                done = call(*arguments, **options)
                if left == 0:
                    os._exit(9)
                left -= 1
                return done

            return wrapped

        for name in _CALLS:
            setattr(os, name, dying(getattr(os, name)))
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 0


class Promotions(RuleBasedStateMachine):
    """Whatever is done in whatever order, the incumbent is what a plain list says."""

    base: Path

    def __init__(self) -> None:
        super().__init__()
        self.place = self.base / f"r{len(list(self.base.iterdir()))}"
        self.registry = Registry(self.place / "models")
        self.line: list[str] = []
        self.digests = [self.registry.add(make(self.place / name, name)).digest for name in ("a", "b", "c")]

    @rule(which=st.integers(0, 3))
    def promote(self, which: int) -> None:
        digest = [*self.digests, EMBEDDED][which]
        promote(self.registry, digest, keep=9)
        if digest != (self.line[-1] if self.line else EMBEDDED):
            self.line.append(digest)

    @rule()
    def roll_back(self) -> None:
        if not self.line:
            with pytest.raises(RegistryError):
                roll_back(self.registry, keep=9)
            return
        roll_back(self.registry, keep=9)
        self.line.pop()

    @invariant()
    def the_incumbent_is_the_last_of_the_line(self) -> None:
        assert self.registry.incumbent().digest == (self.line[-1] if self.line else EMBEDDED)
        body = self.place / "models" / "incumbent.json"
        if body.exists():
            assert json.loads(body.read_bytes())["incumbent"] == self.registry.incumbent().digest


def test_any_order_of_promotions_and_rollbacks(tmp_path: Path) -> None:
    machine = type("Machine", (Promotions,), {"base": tmp_path})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples(30), stateful_step_count=12, deadline=None)
    )
