"""The dashboard asks for metrics and labels that the daemon has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "config/grafana/sysscan-agent.json").read_bytes())
ASKED = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
NAMES = set(re.findall(r"^# TYPE (\S+)", Metrics().render(), re.MULTILINE))
HANDBOOK = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("query", ASKED)
def test_a_query_is_for_metrics_of_the_daemon(query: str) -> None:
    asked = set(re.findall(r"sysscan_agent_\w+", query))
    assert asked and asked <= NAMES
    for name in asked:
        counter = f"# TYPE {name} counter" in Metrics().render()
        assert counter == bool(re.search(rf"(rate|increase)\({name}", query)), "rates are of counters alone"
    assert query.count("(") == query.count(")") and query.count("{") == query.count("}")


@pytest.mark.parametrize("query", ASKED)
def test_labels_are_those_that_the_handbook_names(query: str) -> None:
    labels = set(re.findall(r"(\w+)=~?\"", query)) - {"instance"}
    for group in re.findall(r"by \(([^)]*)\)", query):
        labels |= set(group.replace(" ", "").split(",")) - {"instance"}
    (name, *_) = re.findall(r"sysscan_agent_\w+", query)
    (row,) = [line for line in HANDBOOK.splitlines() if line.startswith(f"| `{name}`")]
    assert all(f"`{label}`" in row for label in labels), (labels, row)


def test_a_sink_that_fails_can_be_seen() -> None:
    of_sinks = {name for name in NAMES if "_sink_" in name}
    assert of_sinks and of_sinks <= set(re.findall(r"sysscan_agent_\w+", " ".join(ASKED)))


def test_panels_do_not_lie_on_each_other_and_each_has_a_number() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_handbook_has_a_row_for_every_metric_and_no_other() -> None:
    assert set(re.findall(r"^\| `(sysscan_agent_\w+)`", HANDBOOK, re.MULTILINE)) == NAMES
