"""Every remediation, for real: apply, check, apply again, undo, and all is as it was."""

import os
import random
import shutil
import warnings
from collections.abc import Iterator
from typing import NoReturn

import pytest

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge, RemediationRef
from pipeline.rules.remediate import Action, render
from tests.pipeline.remedies.scenarios import PACKAGES, SCENARIOS, Scenario, populate, populate_packages
from tests.pipeline.remedies.throw_away import NoRoot, ThrowAwayRoot, Userland, differences, userlands

USERLANDS = userlands()
# Every scenario with every shell takes minutes, which is for .ci/run; the shuffled rounds mix the shells in any case.
EVERYTHING = bool(os.environ.get("REMEDIES_MUST_RUN"))
TRIED = USERLANDS if EVERYTHING else dict(list(USERLANDS.items())[:1])


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


def not_here(message: str) -> NoReturn:
    """Say loudly that something was not tried; where all must run, fail."""
    if EVERYTHING:
        pytest.fail(message)
    warnings.warn(message, stacklevel=2)
    pytest.skip(message)


def a_root() -> ThrowAwayRoot:
    """Make a root; where this machine allows none, say so where nobody overlooks it."""
    try:
        root = ThrowAwayRoot()
    except NoRoot as reason:
        not_here(f"no remediation was tried: this machine lets us make no throw-away root ({reason})")
    populate(root)
    return root


@pytest.fixture(scope="module")
def kept() -> Iterator[list[ThrowAwayRoot]]:
    roots: list[ThrowAwayRoot] = []
    yield roots
    for one in roots:
        one.close()


@pytest.fixture
def root(kept: list[ThrowAwayRoot], request: pytest.FixtureRequest) -> Iterator[ThrowAwayRoot]:
    """Give the root that the test before left as it found it, or a new one."""
    if not kept:
        kept.append(a_root())
    yield kept[0]
    if getattr(request.node, "well", False) is False:
        kept.pop().close()


@pytest.fixture(scope="module")
def packages() -> Iterator[ThrowAwayRoot]:
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        not_here("the package actions were not tried: there is no apt-get and dpkg-deb here")
    with a_root() as made:
        populate_packages(made)
        yield made


def action_of(knowledge: Knowledge, scenario: Scenario, root: ThrowAwayRoot) -> Action:
    params = dict(scenario.params)
    if params.get("pid") == "SLEEP":
        pid = root.sh("sleep 1000 >/dev/null 2>&1 & echo $!").strip()
        params = {"pid": pid, "exe": root.sh(f"readlink /proc/{pid}/exe").strip()}
    ref = RemediationRef.model_validate({"use": scenario.action, "with": {name: f"{{{name}}}" for name in params}})
    action = render(ref, knowledge.remediations[scenario.action], params, knowledge.expected, "default", None)
    assert action.command and action.check and action.rollback, action
    return action


def run(root: ThrowAwayRoot, line: str | None, userland: Userland) -> None:
    assert line is not None
    rc, said = root.run(line, userland)
    assert rc == 0, f"exit status {rc}\n{line}\n{said}"


@pytest.mark.parametrize("userland", TRIED.values(), ids=TRIED.keys())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_what_is_applied_takes_effect_once_and_is_undone_to_the_byte(
    knowledge: Knowledge,
    root: ThrowAwayRoot,
    scenario: Scenario,
    userland: Userland,
    request: pytest.FixtureRequest,
) -> None:
    round_trip(knowledge, root, scenario, userland)
    request.node.well = True


@pytest.mark.parametrize("scenario", PACKAGES, ids=[scenario.name for scenario in PACKAGES])
def test_what_a_package_brought_goes_with_it(knowledge: Knowledge, packages: ThrowAwayRoot, scenario: Scenario) -> None:
    round_trip(knowledge, packages, scenario, USERLANDS[next(iter(USERLANDS))])


def round_trip(knowledge: Knowledge, root: ThrowAwayRoot, scenario: Scenario, userland: Userland) -> None:
    """Apply, check, apply again, undo, undo again; compare after each."""
    action = action_of(knowledge, scenario, root)
    before = look(root, scenario)
    open_before = root.run(str(action.check), userland)[0] != 0

    run(root, action.command, userland)
    applied = root.snapshot()
    assert root.notes() != []
    run(root, action.check, userland)
    run(root, action.command, userland)
    assert differences(applied, root.snapshot()) == []
    run(root, action.check, userland)

    run(root, action.rollback, userland)
    assert differences(before, look(root, scenario)) == []
    assert root.notes() == []
    if not (scenario.stays or scenario.already):
        assert open_before, "the check cannot fail"
        assert root.run(str(action.check), userland)[0] != 0

    rc, _ = root.run(str(action.rollback), userland)
    assert rc != 0, "a way back without a note must not say that it went"
    assert differences(before, look(root, scenario)) == []


def look(root: ThrowAwayRoot, scenario: Scenario) -> dict[str, str]:
    """Describe the root without what a way back is known not to restore."""
    return {name: said for name, said in root.snapshot().items() if name not in scenario.stays}


@pytest.mark.parametrize("seed", range(5 if EVERYTHING else 1))
def test_all_of_them_in_one_order_and_back_in_another(knowledge: Knowledge, seed: int) -> None:
    with a_root() as root:
        shuffle(knowledge, root, random.Random(seed))


def shuffle(knowledge: Knowledge, root: ThrowAwayRoot, by: random.Random) -> None:
    """Apply all in random order, each with any shell, some twice; undo in another order; compare."""
    actions = [action_of(knowledge, scenario, root) for scenario in SCENARIOS]
    before = root.snapshot()
    kinds = list(USERLANDS.values())
    for order in (actions, [action for action in actions if by.random() < 0.3]):
        for action in by.sample(order, len(order)):
            run(root, action.command, by.choice(kinds))
    for action in by.sample(actions, len(actions)):
        run(root, action.rollback, by.choice(kinds))
    stays = {name for scenario in SCENARIOS for name in scenario.stays}
    assert [one for one in differences(before, root.snapshot()) if one.split(": ")[0] not in stays] == []
    assert root.notes() == []
    root.run("echo 0 > /proc/sys/kernel/kexec_load_disabled; pkill sleep")
