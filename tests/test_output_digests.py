"""The output over all real scans is, byte for byte, what was last decided."""

import json

from tests.output_digests import KEPT, changed, digests


def test_the_output_over_all_scans_is_byte_for_byte_as_committed() -> None:
    differing = changed(json.loads(KEPT.read_text()), digests())
    assert differing == [], "if this is wanted, run `make output-digests` and say in the commit why"


def test_a_changed_byte_would_be_noticed() -> None:
    kept = json.loads(KEPT.read_text())
    name = next(iter(kept["rules"]))
    assert changed(kept, {**kept, "rules": {**kept["rules"], name: "0" * 64}}) == [f"rules: {name}"]
