"""Remediations: no value may act on the shell that the command is pasted into."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Expected, Knowledge, Remediation, RemediationRef, SlotSpec
from pipeline.rules.remediate import Action, escaped_slots, render, shell_word
from tests.depth import examples

# By what they are: sh is often dash or bash.
FOUND = [path for name in ("sh", "bash", "dash") if (path := shutil.which(name))]
SHELLS = list({str(Path(path).resolve()): path for path in FOUND}.values())
EVIL = [
    "$(reboot)", "`reboot`", "a;reboot", "a\nreboot", "a\n", "\n", "a' ; reboot ; '", 'a" ; reboot ; "', "--", "-rf",
    "--help", "-", "*", "?", "[a]", "~root", "~", "!!", "a'!reboot'", "a!b", "%s%n", "\\n\\044(reboot)", "{path}",
    "{exe} }} {{", "$HOME", "${IFS}", "a b  c", "\t", "\r", "\x1b]0;x\x07", "\x03reboot\r", "\x7f", "\u202ereboot",
    "ü€😀", "\ufeff", "#", "a#b", "&", "|reboot", ">x", "<x", "\\", "'", '"', "a\\\nb", "", "a=b", "\x80", "\xa0",
]  # fmt: skip
# Templates of shipped remediations are run for real only where they take a free-form value, write nowhere and send
# no signal; for the others `test_every_placeholder_stands_outside_quotes` shows that the same words come out.
FREE_PARAMS = {"path", "exe", "pattern"}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


class Stubs:
    """A PATH with nothing but recorders of their own arguments."""

    def __init__(self, directory: Path, names: set[str]) -> None:
        self.directory = directory
        self.log = directory / "argv.log"
        for name in names:
            stub = directory / name
            # One printf is one write: the stages of a pipeline record at the same time.
            stub.write_text(f"#!/bin/sh\nprintf '%s\\0' '{name}' \"$#\" \"$@\" >> '{self.log}'\n")
            stub.chmod(0o755)

    def run(self, shell: str, command: str) -> list[tuple[str, list[bytes]]]:
        """Return what was run, each as name and arguments."""
        self.log.write_bytes(b"")
        subprocess.run(
            [shell, "-c", command.encode()], env={"PATH": str(self.directory), "LC_ALL": "C"}, cwd=self.directory,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        return list(self._calls())

    def _calls(self) -> Iterator[tuple[str, list[bytes]]]:
        fields = iter(self.log.read_bytes().split(b"\0")[:-1])
        for name in fields:
            count = int(next(fields))
            yield name.decode(), [next(fields) for _ in range(count)]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Stubs:
    return Stubs(tmp_path_factory.mktemp("stubs"), {"probe", "reboot", "touch", "id", "sh", "reboot'", "rf", "help"})


def an_action(command: str, params: list[str], check: str = ": nothing to check") -> Remediation:
    return Remediation(kind="manual", params=params, summary=command, command=command, check=check, rollback=":")


def rendered(
    knowledge: Knowledge, use: str, with_: dict[str, str], slots: dict[str, str], profile: str = "default"
) -> Action:
    ref = RemediationRef.model_validate({"use": use, "with": with_})
    return render(ref, knowledge.remediations[use], slots, knowledge.expected, profile, None)


PROBE = an_action("probe {exe} -- {exe} -x{exe}x; probe", ["exe"])
PROBE_REF = RemediationRef.model_validate({"use": "probe", "with": {"exe": "{exe}"}})


def assert_arrives(stubs: Stubs, shell: str, text: str, raw: bytes, escaped: bool) -> None:
    result = render(PROBE_REF, PROBE, {"exe": text}, {}, "default", None, {"exe"} if escaped else ())
    command = result.command
    if command is None:
        assert b"\0" in raw or raw.endswith(b"\n") or len(raw) > 4096
        assert "exe" in str(result.caution)
        return
    assert command.isprintable()
    expected = [("probe", [raw, b"--", raw, b"-x" + raw + b"x"]), ("probe", [])]
    assert stubs.run(shell, command) == expected


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", EVIL)
def test_a_hostile_value_arrives_as_one_argument_unchanged_and_nothing_else_runs(
    stubs: Stubs, shell: str, value: str
) -> None:
    assert_arrives(stubs, shell, value, value.encode(), escaped=False)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text(
        st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("'\"\\$`!\n-%{};&|<>*?~# \x00\x1b")),
        max_size=40,
    )
)
def test_any_value_arrives_as_one_argument_unchanged(stubs: Stubs, value: str) -> None:
    assert_arrives(stubs, SHELLS[0], value, value.encode(), escaped=False)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=40), st.lists(st.sampled_from([*b"'\\$!\n\xff\xc3(", 0x80])).map(bytes)))
def test_the_real_bytes_of_an_escaped_value_arrive(stubs: Stubs, raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    text = re.sub("[\udc80-\udcff]", lambda bad: f"\\x{ord(bad[0]) - 0xDC00:02x}", text)
    assert_arrives(stubs, SHELLS[0], text, raw, escaped=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="history expansion is bash's")
@pytest.mark.parametrize("value", [value for value in EVIL if "!" in value] + ["a\x01'!probe", "'!probe\"", '"!probe'])
def test_history_expansion_of_an_interactive_shell_leaves_values_alone(stubs: Stubs, value: str) -> None:
    stubs.log.write_bytes(b"")
    script = f"set -o history; set -o histexpand\nprobe {shell_word(value.encode())}\n"
    subprocess.run(
        [str(shutil.which("bash")), "--norc"], input=script.encode(), env={"PATH": str(stubs.directory)},
        capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert list(stubs._calls()) == [("probe", [value.encode()])]


def test_a_value_is_filled_in_once_whatever_braces_it_holds(stubs: Stubs) -> None:
    action = an_action("probe {exe} {pattern}", ["exe", "pattern"])
    ref = RemediationRef.model_validate({"use": "x", "with": {"exe": "{exe}", "pattern": "{pattern}"}})
    result = render(ref, action, {"exe": "{pattern}", "pattern": "{exe}{expected:k}"}, {}, "default", None)
    assert stubs.run(SHELLS[0], str(result.command)) == [("probe", [b"{pattern}", b"{exe}{expected:k}"])]
    assert result.summary == 'probe "{pattern}" "{exe}{expected:k}"'


def test_a_value_that_could_read_as_a_sentence_stands_in_quotation_marks() -> None:
    action = an_action("probe {exe}", ["exe"])
    ref = RemediationRef.model_validate({"use": "x", "with": {"exe": "{exe}"}})
    for value, said in (
        ("/usr/bin/x", "/usr/bin/x"),
        ("/usr/bin/x (deleted)", "/usr/bin/x (deleted)"),
        ("/tmp/x. All is well", '"/tmp/x. All is well"'),
        ('/tmp/x". All is \u201dwell', "\"/tmp/x'. All is 'well\""),
        ("/tmp/" + "all is well " * 50, f'"{("/tmp/" + "all is well " * 50)[:159]}…"'),
    ):
        assert render(ref, action, {"exe": value}, {}, "default", None).summary == f"probe {said}"


BENIGN = {
    "key": "kernel.kptr_restrict", "name": "rp_filter", "value": "1", "unit": "nginx.service", "pid": "42",
    "directive": "PrivateTmp", "mountpoint": "/tmp", "option": "nosuid", "module": "udf", "package": "nginx",
    "port": "80", "protocol": "tcp", "path": "/usr/bin/x", "exe": "/usr/bin/x", "argument": "lockdown=integrity",
    "container_id": "0123456789ab", "scanner": "mounts", "control": "7.1", "pattern": "evil", "subject": "ping",
}  # fmt: skip


def shipped(knowledge: Knowledge) -> Iterator[tuple[str, Remediation, RemediationRef]]:
    for key, action in knowledge.remediations.items():
        yield key, action, RemediationRef.model_validate({"use": key, "with": {p: f"{{{p}}}" for p in action.params}})


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shipped_text_is_one_line_of_valid_shell(knowledge: Knowledge, shell: str) -> None:
    lines = []
    for key, action, ref in shipped(knowledge):
        result = render(ref, action, BENIGN, knowledge.expected, "default", None)
        assert result.check and result.rollback, key
        assert (result.command is None) == (action.command is None), key
        for line in (result.command, result.check, result.rollback):
            if line is not None:
                assert "\n" not in line and line.isprintable(), key
                lines.append(line)
    done = subprocess.run([shell, "-n"], input="\n".join(lines).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_placeholder_stands_outside_quotes(knowledge: Knowledge) -> None:
    for key, action, _ in shipped(knowledge):
        for text in (action.let, action.needs, action.note, action.command, action.check, action.rollback):
            assert quoted_placeholders(text or "") == [], key


def quoted_placeholders(text: str) -> list[str]:
    """Names of placeholders inside quotes; a command substitution starts afresh."""
    found, contexts, position = [], [""], 0
    while position < len(text):
        rest, quote = text[position:], contexts[-1]
        if match := re.match(r"\{([a-z_]+)\}", rest):
            found += [match[1]] if quote in {"'", '"'} else []
            position += match.end()
        elif quote == "'":
            contexts[-1:] = [] if rest[0] == "'" else [quote]
            position += 1
        elif rest[0] == "\\":
            position += 2
        elif rest.startswith("$("):
            contexts.append(")")
            position += 2
        else:
            if rest[0] == quote:
                contexts.pop()
            elif rest[0] == '"' or (rest[0] == "'" and quote != '"'):
                contexts.append(rest[0])
            elif rest[0] == "(" and quote != '"':
                contexts.append(")")
            position += 1
    return found


def test_the_check_for_quoted_placeholders_finds_them() -> None:
    assert quoted_placeholders('a \'{b}\' "{c}" {d} "$(x {e} \'{f}\')" "$(x "{g}")"') == ["b", "c", "f", "g"]


@pytest.mark.parametrize("value", ["/a b'$(reboot)`reboot`;reboot\nreboot\n-x", "/-rf --help \x1b[2J!x", "/plain"])
def test_shipped_commands_hand_a_hostile_path_on_as_it_is(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    slots = {name: value if name in FREE_PARAMS else word for name, word in BENIGN.items()}
    raw = value.encode()
    tried = 0
    for key, action, ref in shipped(knowledge):
        if not FREE_PARAMS & set(action.params):
            continue
        result = render(ref, action, slots, knowledge.expected, "default", None)
        # What is noted first is tried with hostile names in a root that is thrown away (tests/pipeline/remedies): run
        # here, it would write to this machine.
        for part in ("check",) if action.note else ("command", "check", "rollback"):
            line, template = getattr(result, part), getattr(action, part)
            if line is None or not any(f"{{{name}}}" in template for name in FREE_PARAMS):
                continue
            if re.search(r"(?<![0-9&])>>? ?(?!/dev/null|&)|\bkill\b|/proc/", template):
                continue
            words = set(re.findall(r"[a-z0-9]+", template)) - {"then", "else", "fi", "if", "in", "do", "done", "case"}
            stubs = Stubs(tmp_path_factory.mktemp("shipped"), {*words, "reboot", "x"})
            calls = stubs.run(SHELLS[0], line)
            names = {name for name, _ in calls}
            assert names <= words, (key, part)
            assert any(raw in argument for _, arguments in calls for argument in arguments), (key, part, calls)
            tried += 1
    assert tried >= 10


def test_expected_values_follow_the_policy_profile(knowledge: Knowledge) -> None:
    with_ = {"key": "kernel.kptr_restrict", "value": "{expected:sysctl.kernel.kptr_restrict}"}
    assert "restrict 2 >" in str(rendered(knowledge, "sysctl.set", with_, {}).command)
    assert "restrict 1 >" in str(rendered(knowledge, "sysctl.set", with_, {}, "stig").command)


def test_an_unknown_expected_value_is_an_error_of_the_knowledge() -> None:
    ref = RemediationRef.model_validate({"use": "x", "with": {"exe": "{expected:nothing}"}})
    with pytest.raises(KeyError):
        render(ref, PROBE, {}, {"other": Expected(accepted={}, preferred={}, sources={})}, "default", None)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("unit", "../../etc/passwd"), ("unit", "a/b.service"), ("unit", "-H.service"), ("unit", "x\n.service"),
        ("unit", "plain"), ("unit", ""), ("key", "kernel"), ("key", "a.b;reboot"), ("key", "../x.y"), ("key", "-w.x"),
        ("mountpoint", "tmp"), ("mountpoint", "/a b"), ("mountpoint", "/a\\040b"), ("mountpoint", "/ä"),
        ("module", "-r"), ("module", "a b"), ("module", "../x"), ("package", "-y"), ("package", "a;b"),
        ("pid", "0"), ("pid", "-1"), ("pid", "1 2"), ("pid", "self"), ("path", "relative"), ("path", "-rf"),
        ("path", ""), ("directive", "Exec Start"), ("option", "a,b"), ("argument", "a=b c"), ("port", "80,443"),
        ("container_id", "../x"), ("value", "a\nExecStart=/bin/x"), ("value", "-w"), ("scanner", "a;b"),
        ("path", "/a\0b"), ("path", "/a\n"), ("path", "/" + "a" * 4096), ("path", "/\ud800"),
    ],
)  # fmt: skip
def test_a_value_that_a_parameter_cannot_have_gives_no_command_but_the_reason(param: str, value: str) -> None:
    action = an_action(f"probe {{{param}}}", [param], check=f"probe {{{param}}}")
    ref = RemediationRef.model_validate({"use": "x", "with": {param: "{slot}"}})
    result = render(ref, action, {"slot": value}, {}, "default", None)
    assert (result.command, result.check, result.rollback) == (None, None, ":")
    assert str(result.caution).startswith("Without a command, because ")
    assert str(result.summary).isprintable()


def test_a_slot_that_the_report_does_not_have_gives_no_command() -> None:
    result = render(PROBE_REF, PROBE, {}, {}, "default", None)
    assert result.command is None
    assert result.caution == "Without a command, because the report does not say exe."
    assert "(exe not reported)" in str(result.summary)


def test_a_contraindicated_action_gives_no_command_but_accept_or_replace(knowledge: Knowledge) -> None:
    ref = RemediationRef.model_validate(
        {"use": "systemd.dropin", "with": {"unit": "{unit}", "directive": "NoNewPrivileges", "value": "yes"}}
    )
    action = knowledge.remediations["systemd.dropin"]
    result = render(ref, action, {"unit": "ssh.service"}, knowledge.expected, "default", "sudo stops working")
    assert result.caution is None
    assert str(result.summary).startswith("Accept or replace")
    assert (result.command, result.rollback, result.contraindicated) == (None, None, "sudo stops working")
    assert "ssh.service" in str(result.check)


def test_systemd_escapes_in_a_unit_name_are_kept(knowledge: Knowledge) -> None:
    with_ = {"unit": "{unit}", "directive": "PrivateTmp", "value": "yes"}
    result = rendered(knowledge, "systemd.dropin", with_, {"unit": r"dev-disk\x2dby@a:b.service"})
    assert r"d=/etc/systemd/system/'dev-disk\x2dby@a:b.service'.d; f=$d/50-sysscan-PrivateTmp.conf" in str(
        result.command
    )


def test_slots_taken_from_an_escaped_field_are_named() -> None:
    specs = {
        "path": SlotSpec(source="id", type="path"),
        "exe": SlotSpec(source="metadata.command", type="command"),
        "name": SlotSpec(source="title", type="name"),
    }
    assert escaped_slots(("id", "metadata.command"), specs) == {"path", "exe"}
    assert escaped_slots((), specs) == frozenset()
