"""Every remediation that changes something is tried, or the document says why it is not."""

import re
from pathlib import Path

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from tests.pipeline.remedies.scenarios import PACKAGES, SAVES, SCENARIOS, STAND_INS

DOCUMENT = Path(__file__).parents[3] / "docs" / "remediation.md"


def table(after: str) -> dict[str, str]:
    """Read the rows of the table that follows a line: first cell (its code words) and last."""
    rows = DOCUMENT.read_text().partition(f"\n{after}\n")[2].strip().split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: row[-1] for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


def test_every_action_with_a_command_is_tried_or_listed_with_the_reason() -> None:
    commands = {name for name, action in load_knowledge(load_features).remediations.items() if action.command}
    tried = {scenario.action for scenario in [*SCENARIOS, *PACKAGES]} | set(SAVES)
    listed = table("Not tried at all:")
    assert tried - commands == set()
    assert listed.keys() == commands - tried
    assert all(listed.values())


def test_what_a_way_back_leaves_is_listed() -> None:
    left = table("What no rollback restores:")
    assert {scenario.action for scenario in SCENARIOS if scenario.stays} <= left.keys()


def test_every_stand_in_is_listed() -> None:
    assert table("Tried with something in the place of the real thing:").keys() >= STAND_INS.keys()
