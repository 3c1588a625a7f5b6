"""The folds hide whole topics' classes and nothing else, and the measures say what they say."""

from pipeline.finding import ScanHeader
from pipeline.scorecard.hidden import (
    FOLDS,
    Column,
    Gold,
    Said,
    Score,
    bootstrap,
    components,
    difference,
    folds,
    hide,
    score,
    subject_of,
)
from pipeline.scorecard.hidden_answers import Product, answer_folds, answer_kinds, golds, kinds
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import knowledge, report
from tests.pipeline.unknown import finding

GOLD = Gold(
    ScanHeader(source_format="json"),
    finding("docker:socket"),
    "g",
    topics=("a", "b"),
    controls=frozenset({"f:1", "f:2"}),
    subjects=frozenset({"file"}),
    level="high",
)


def test_every_class_with_a_topic_is_hidden_once_with_all_that_share_its_topics() -> None:
    known = knowledge()
    parts = folds(known)
    assert len(parts) == FOLDS
    hidden = [name for part in parts for name in part]
    assert sorted(hidden) == sorted(name for name, spec in known.classes.items() if spec.topics)
    of = {name: number for number, part in enumerate(parts) for name in part}
    for topic in known.topics:
        on_it = {name for name, spec in known.classes.items() if any(ref.topic == topic for ref in spec.topics)}
        assert len({of[name] for name in on_it}) <= 1, topic
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    assert folds(known) == parts


def test_components_join_over_several_topics() -> None:
    for group in components(knowledge()):
        assert len(group) == len(set(group))
    joined = next(group for group in components(knowledge()) if "auditd.rules_missing" in group)
    assert {"auditd.chmod", "auditd.execve"} <= set(joined)


def test_a_hidden_class_leaves_nothing_but_its_topics() -> None:
    known = knowledge()
    part = folds(known)[0]
    left = hide(known, part)
    assert not set(part) & set(left.classes)
    assert set(left.topics) == set(known.topics)
    assert set(known.classes) - set(left.classes) == set(part)


def test_scores_compare_what_there_is_to_compare() -> None:
    assert score(GOLD, Said(("a",), frozenset({"f:1", "f:2"}), "file", "high")) == Score(1, 1, 1, 1, 1)
    assert score(GOLD, Said(("x", "y", "b", "a"), frozenset({"f:1"}), "unit", "low")) == Score(0, 1, 2 / 3, 0, 0)
    assert score(GOLD, Said()) == Score(0, 0, 0, 0, 0)
    none = Gold(GOLD.header, GOLD.raw, "g", topics=())
    assert score(none, Said()).top1 == 1.0
    assert score(none, Said(("a",))).top1 == 0.0
    assert score(none, Said(("a",))).controls is None


def test_each_group_counts_once_and_intervals_hold_the_mean() -> None:
    one, other = Column(), Column()
    for _ in range(9):
        one.scores["many"].append(Score(1, 1, None, None, None))
        other.scores["many"].append(Score(0, 1, None, None, None))
    one.scores["few"].append(Score(0, 1, None, None, None))
    other.scores["few"].append(Score(0, 1, None, None, None))
    found = one.interval("top1")
    assert found is not None and found.mean == 0.5 and found.low <= 0.5 <= found.high
    assert one.interval("action") is None
    more = difference(one, other, "top1")
    assert more is not None and more.mean == 0.5
    assert bootstrap([0.25] * 5).low == bootstrap([0.25] * 5).high == 0.25


def test_actions_are_about_kinds_of_things() -> None:
    assert subject_of("sysctl.set") == "sysctl" and subject_of("systemd.dropin") == "unit"
    assert subject_of("accept.known") is None and subject_of("scanner.rerun_as_root") is None
    subjects = {look.subject for look in knowledge().looks.values()}
    assert {subject for key in knowledge().remediations if (subject := subject_of(key)) is not None} <= subjects


def test_real_findings_are_answered_with_their_classes_hidden() -> None:
    known = knowledge()
    gold = golds(known, [report("web01-sysctl-weak.json"), report("web01-fs-hygiene.json")])
    assert len({one.group for one in gold}) > 5
    columns = answer_folds(known, gold, range(FOLDS))
    assert set(columns) == {"nothing", "retrieval"}
    assert set(columns["nothing"].scores) == {one.group for one in gold}
    nothing, found = columns["nothing"].interval("top3"), columns["retrieval"].interval("top3")
    assert nothing is not None and found is not None
    assert nothing.mean < 0.2 and found.mean > 0.6
    assert answer_folds(known, gold, []) == {"nothing": Column(), "retrieval": Column()}


def test_the_forty_findings_are_of_eight_kinds_and_of_no_class() -> None:
    gold = kinds()
    product = Product(knowledge())
    assert len(gold) == 40 and len({one.group for one in gold}) == 40
    assert {topic for one in gold for topic in one.topics} <= set(knowledge().topics)
    for one in gold:
        line, topics = product.record(one.header, one.raw)
        assert line.class_.startswith("unknown.") and topics == ()


def test_a_model_that_knows_such_questions_gets_a_column_of_its_own() -> None:
    columns = answer_kinds(knowledge(), kinds()[:3], lambda known: PlainAnalyst())
    assert set(columns) == {"nothing", "retrieval", "model"}
    said = columns["model"].interval("top1")
    assert said is not None and said.mean == 0.0  # this one never chooses a topic
