"""Made-up hosts: their reports are the scanner's, and cover all that the knowledge tells apart."""

import gzip
import json
from collections import Counter
from functools import lru_cache

import pytest

from pipeline.analysis.question import Question
from pipeline.features import load_features
from pipeline.intel.match import load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from trainer.data.cases import Asked, desks, questions
from trainer.data.world.host import make_host
from trainer.data.world.report import write_report

HOSTS = 40


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


@lru_cache(maxsize=HOSTS)
def report(number: int) -> tuple[str, bytes]:
    return write_report(make_host(knowledge(), 7, number))


@lru_cache(maxsize=1)
def asked() -> tuple[Asked, ...]:
    (plain, *_) = desks(knowledge(), load_intel([]))
    return tuple(one for number in range(HOSTS) for one in questions(report(number)[1], plain))


def test_the_same_host_has_the_same_report() -> None:
    for number in range(6):
        assert report(number) == write_report(make_host(knowledge(), 7, number))
        assert report(number) != write_report(make_host(knowledge(), 8, number))


def test_every_report_is_read_whole() -> None:
    formats = set()
    for number in range(HOSTS):
        (read,) = read_document(report(number)[1], Limits(), final=True).reports
        assert not read.rejects
        assert read.findings
        formats.add((read.header.source_format, report(number)[0].endswith(".gz")))
    assert len(formats) == 6  # JSON, NDJSON, SARIF; plain and gzip


def test_a_report_looks_like_the_scanners() -> None:
    name, data = next(report(number) for number in range(HOSTS) if ".json" in report(number)[0])
    document = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
    assert {"meta", "summary", "results", "scanner_errors", "collection_warnings"} <= set(document)
    assert document["summary"]["finding_count_emitted"] == sum(len(one["findings"]) for one in document["results"])
    for section in document["results"]:
        for finding in section["findings"]:
            assert set(finding) == {"base_severity_score", "description", "id", "metadata", "severity", "title"}


def test_every_class_status_and_correlation_occurs() -> None:
    found = Counter(one.question.class_id for one in asked())
    assert set(knowledge().classes) <= set(found)
    assert found["ambiguous"]
    assert any(name.startswith("unknown.") for name in found)
    assert {one.question.status for one in asked()} == {"open", "passed", "info", "unknown", "error"}
    rules = {rule for one in asked() for rule in one.question.context}
    assert len(rules) >= 0.8 * len(knowledge().correlations)


def test_the_operators_ways_add_their_statuses_and_indicators(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "list.txt"  # type: ignore[operator]
    path.write_text("203.0.113.9\n/tmp/kinsing\n")
    ways = desks(knowledge(), load_intel([path]))
    everything: list[Question] = [
        one.question for way in ways for number in range(4) for one in questions(report(number)[1], way)
    ]
    assert {"accepted", "false_positive"} <= {question.status for question in everything}
    assert any("threat_intel" in question.context for question in everything)


def test_features_cover_the_words_that_tell_findings_apart() -> None:
    """Words that only rare findings have; a world without them trains a model that never saw them."""
    seen: dict[str, set[str]] = {}
    for one in asked():
        for name, value in one.question.features.items():
            seen.setdefault(name, set()).add(value)
    assert set(knowledge().roles) | {"unlisted", "not_a_unit"} <= seen["role"]
    assert {"set", "test_first", "leave", "little_gain", "not_a_unit"} == seen["advice"]
    assert {"memfd", "runtime_memory", "early_udev", "distribution", "temporary", "local", "home"} <= seen["deleted"]
    assert {"homoglyph", "variant", "near"} == seen["lookalike"]
    assert {"kernel_thread", "different", "alias", "same"} <= seen["relation"]
    assert {"hidden", "control", "invisible", "shell_characters", "not_utf8"} <= seen["name"]
    assert {"distribution", "other_distribution", "name_only", "none"} <= seen["owner"]
    assert {"content", "missing", "mode", "owner", "time", "unreadable", "not_installed"} <= seen["deviation"]
    assert {artefact for one in asked() if (artefact := one.question.artefact and one.question.artefact[1])} == {
        "certain", "likely", "cannot_tell"
    }  # fmt: skip
