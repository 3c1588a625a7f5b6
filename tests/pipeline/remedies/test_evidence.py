"""Commands that save evidence, for real: what they promise is there, for root only, and the host stays as it was."""

import re

import pytest

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import RemediationRef
from pipeline.rules.remediate import Action, render
from tests.pipeline.remedies.scenarios import HOSTILE, SAVES
from tests.pipeline.remedies.test_round_trip import TRIED, a_root
from tests.pipeline.remedies.throw_away import ThrowAwayRoot, Userland

pytestmark = pytest.mark.parametrize("userland", TRIED.values(), ids=TRIED.keys())
PROGRAM = "/srv/dropped program"


def action_of(name: str, params: dict[str, str]) -> Action:
    assert name in SAVES
    knowledge = load_knowledge(load_features)
    ref = RemediationRef.model_validate({"use": name, "with": {param: f"{{{param}}}" for param in params}})
    action = render(ref, knowledge.remediations[name], params, knowledge.expected, "default", None)
    assert action.command is not None and action.check is not None
    return action


def modes(root: ThrowAwayRoot) -> set[str]:
    """Give the modes of what lies in the directories of evidence, and of these."""
    return set(root.sh("cd /root && find . -mindepth 1 -printf '%m %y\\n'").splitlines())


def test_a_process_is_saved_with_a_program_that_is_gone(userland: Userland) -> None:
    with a_root() as root:
        root.sh(f"mkdir -p /root && cp $(command -v sleep) '{PROGRAM}'")
        start = f"A_WORD=evidence '{PROGRAM}' 1000 >/dev/null 2>&1 & echo $!"
        pid = root.sh(start).strip()
        before = root.sh(
            f"until readlink /proc/{pid}/exe | grep -q 'dropped program'; do sleep 0.1; done; "
            f"sha256sum < '{PROGRAM}'; rm '{PROGRAM}'"
        )
        action = action_of("process.investigate", {"pid": pid, "exe": f"{PROGRAM} (deleted)"})
        assert root.run(action.check or "", userland)[0] != 0
        rc, said = root.run(action.command or "", userland)
        assert rc == 0, said
        assert f"{PROGRAM} (deleted)" in said
        assert root.run(action.check or "", userland)[0] == 0
        (directory,) = re.findall(r"^/root/evidence-\d+-\d+$", said, re.M)
        assert root.sh(f"sha256sum < {directory}/exe") == before
        assert "A_WORD=evidence" in root.sh(f"tr '\\0' '\\n' < {directory}/environ")
        assert "dropped program" in root.sh(f"cat {directory}/maps")
        assert modes(root) == {"700 d", "600 f"}
        assert root.sh(f"kill -0 {pid} && grep State /proc/{pid}/status").split()[1] != "T"
        root.sh(f"kill {pid}")
        rc, _ = root.run(action.command or "", userland)
        assert rc != 0, "of a process that is gone nothing can be saved"


@pytest.mark.parametrize("path", ["/srv/setuid", HOSTILE])
def test_a_file_is_saved_without_its_bits_and_left_as_it_is(userland: Userland, path: str) -> None:
    with a_root() as root:
        root.sh("mkdir -p /root")
        before = root.snapshot()
        action = action_of("file.investigate_setuid", {"path": path})
        assert root.run(action.check or "", userland)[0] != 0
        rc, said = root.run(action.command or "", userland)
        assert rc == 0 and "Uid:" in said, said
        assert root.run(action.check or "", userland)[0] == 0
        after = {name: what for name, what in root.snapshot().items() if not name.startswith("/root")}
        assert after == {name: what for name, what in before.items() if not name.startswith("/root")}
        assert modes(root) == {"700 d", "600 f"}
        assert root.run("cmp /root/*/copy /srv/setuid")[0] == (0 if path == "/srv/setuid" else 1)
        assert root.run("find / -name pwned | grep .")[0] != 0
