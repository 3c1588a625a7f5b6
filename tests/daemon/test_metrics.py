"""The Prometheus textfile."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.metrics import Metrics

ROOT = Path(__file__).parents[2]
_SAMPLE = re.compile(r'\A([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)\Z')


def samples(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = _SAMPLE.match(line)
            assert match is not None, line
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def test_every_family_has_help_a_type_and_a_sample_before_anything_happened() -> None:
    text = Metrics().render()
    names = re.findall(r"^# HELP (\S+) \S", text, re.M)
    assert len(names) == len(set(names)) > 8
    assert re.findall(r"^# TYPE (\S+) (?:counter|gauge)$", text, re.M) == names
    assert {name: samples(text).get(name) for name in names} == dict.fromkeys(names, 0.0)
    assert text.endswith("\n")


def test_counters_end_in_total_and_gauges_do_not() -> None:
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", Metrics().render(), re.M):
        assert name.endswith("_total") == (kind == "counter"), name


def test_samples_are_kept_by_their_labels_whatever_the_order() -> None:
    metrics = Metrics()
    metrics.analysed.add(2, origin="rules")
    metrics.analysed.add(3, origin="rules")
    metrics.analysed.add(1, origin="model")
    found = samples(metrics.render())
    assert found['sysscan_agent_findings_analysed_total{origin="rules"}'] == 5
    assert found['sysscan_agent_findings_analysed_total{origin="model"}'] == 1
    assert "sysscan_agent_findings_analysed_total" not in found


@pytest.mark.parametrize("value", [1_234_567, 12_345_678_901, 2**53])
def test_a_large_counter_keeps_all_its_digits(value: int) -> None:
    """Rounded to six digits a counter would stand still between scrapes."""
    metrics = Metrics()
    metrics.bytes_read.add(value)
    assert f"sysscan_agent_read_bytes_total {value}\n" in metrics.render()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: "\r" not in text))
def test_no_label_breaks_out_of_its_quotes(label: str) -> None:
    metrics = Metrics()
    metrics.delivered.add(1, sink=label)
    (line,) = [line for line in metrics.render().split("\n") if line.startswith("sysscan_agent_records_delivered")]
    match = re.fullmatch(r'[a-z_]+\{sink="((?:[^"\\\n]|\\[\\"n])*)"\} 1', line)
    assert match is not None
    back = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
    assert re.sub(r"\\.", lambda escape: back[escape[0]], match[1]) == label


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """As root the name of a device such as /dev/null would become a file's."""
    pipe = tmp_path / "metrics.prom"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        Metrics().write(pipe)
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.prom"]


def test_the_file_is_replaced_as_a_whole_and_readable_for_the_collector(tmp_path: Path) -> None:
    path = tmp_path / "agent.prom"
    metrics = Metrics()
    metrics.write(path)
    first = path.stat().st_ino
    metrics.backlog.set(7, stage="inbox")
    metrics.write(path)
    assert path.stat().st_ino != first  # a reader keeps the old file until it is done
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text(encoding="utf-8") == metrics.render()
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.prom"]


def test_no_link_in_a_directory_of_others_is_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    (tmp_path / ".agent.prom.tmp").symlink_to(victim)
    (tmp_path / "agent.prom").symlink_to(victim)
    Metrics().write(tmp_path / "agent.prom")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert "# TYPE" in (tmp_path / "agent.prom").read_text(encoding="utf-8")


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Metrics().write(tmp_path / "nowhere" / "agent.prom")


def test_the_handbook_names_every_metric() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    names = re.findall(r"^# HELP (\S+) ", Metrics().render(), re.M)
    assert [name for name in names if f"`{name}`" not in text] == []
