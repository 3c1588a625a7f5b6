"""Reports that are made for tests of lanes."""

import json
from pathlib import Path

_SARIF = Path(__file__).parents[2] / "data" / "scans" / "web01-base-default.sarif"


def untimed(host: str, count: int) -> bytes:
    """Give a document of so many reports of a host, each another one and none with a time in it."""
    found = json.loads(_SARIF.read_text())
    made = []
    for number in range(count):
        found["runs"][0]["results"][0]["message"]["text"] = f"State {number}"
        made.append(json.dumps(found).encode())
    return b"\n".join(made)
