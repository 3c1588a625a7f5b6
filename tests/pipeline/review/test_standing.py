"""Which verdicts count: held to an oracle that looks through the whole log for each question, and by example."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.review.standing import Standing
from pipeline.review.verdict import Correction, Situation, Target, Verdict

NOW = "2026-11-29T12:00:00Z"
WIDE = Situation("ioc.a", "open", {"deleted": "local"})
NARROW = Situation("ioc.a", "open", {"deleted": "local", "relation": "same"})
OTHER = Situation("ioc.a", "open", {"deleted": "memfd"})


def verdict(seq: int, kind: str, target: Target | None = None, **more: object) -> Verdict:
    values = {"reason": "", "target": target or Target(), "at": NOW, "author": "a", **more}
    return Verdict(kind=kind, seq=seq, **values)  # type: ignore[arg-type]


ON_FINDING = Target("h", "f")
ON_HOST = Target("h", None, WIDE)
EVERYWHERE = Target(None, None, WIDE)


def found(*verdicts: Verdict, host: str = "h", fingerprint: str = "f", situation: Situation = WIDE) -> int | None:
    one = Standing(verdicts).find(host, fingerprint, situation, NOW)
    return None if one is None else one.seq


def test_the_narrowest_scope_counts_and_in_it_the_latest() -> None:
    everywhere, host, finding = (
        verdict(seq, "approve", target) for seq, target in ((3, EVERYWHERE), (2, ON_HOST), (1, ON_FINDING))
    )
    assert found(finding, host, everywhere) == 1
    assert found(finding, host, everywhere, fingerprint="g") == 2
    assert found(finding, host, everywhere, fingerprint="g", host="i") == 3
    assert found(finding, host, everywhere, verdict(4, "correct", ON_FINDING)) == 4
    assert found(everywhere, situation=OTHER, fingerprint="g") is None


def test_of_two_situations_that_cover_a_finding_the_later_counts() -> None:
    narrow = Target("h", None, NARROW)
    assert found(verdict(1, "approve", narrow), verdict(2, "approve", ON_HOST), situation=NARROW) == 2
    assert found(verdict(1, "approve", ON_HOST), verdict(2, "approve", narrow), situation=NARROW) == 2
    assert found(verdict(1, "approve", ON_HOST), verdict(2, "approve", narrow), situation=WIDE) == 1


def test_an_undone_verdict_is_as_if_it_had_not_been_given_and_an_undo_can_be_undone() -> None:
    given_ = [verdict(1, "approve", ON_FINDING), verdict(2, "false_positive", ON_FINDING)]
    given_.append(verdict(3, "undo", ON_FINDING, undoes=2))
    assert found(*given_) == 1
    given_.append(verdict(4, "undo", ON_FINDING, undoes=3))
    assert found(*given_) == 2
    given_.append(verdict(5, "undo", ON_FINDING, undoes=4))
    assert found(*given_) == 1


def test_an_acceptance_ends_with_its_last_day_and_brings_nothing_back_that_it_had_replaced() -> None:
    ended = verdict(2, "accept", ON_FINDING, until="2026-11-28")
    assert found(verdict(1, "false_positive", ON_FINDING), ended) is None
    assert found(verdict(1, "false_positive", ON_HOST), ended) == 1  # that one stands by itself
    assert found(replace(ended, until="2026-11-29")) == 2
    assert [one.seq for one in Standing([ended]).expired(NOW, "h")] == [2]
    assert Standing([ended]).expired(NOW, "another") == []
    assert Standing([ended, verdict(3, "approve", ON_FINDING)]).expired(NOW, "h") == []


def test_more_words_of_newer_knowledge_keep_a_verdict_and_missing_ones_do_not_widen_it() -> None:
    on_narrow = verdict(1, "approve", Target(None, None, NARROW))
    newer = replace(NARROW, features={**NARROW.features, "since": "boot"})
    assert found(on_narrow, situation=newer, fingerprint="g") == 1
    assert found(on_narrow, situation=WIDE, fingerprint="g") is None


LOW, HIGH = Correction(level="low"), Correction(level="high")


def corrected(*verdicts: Verdict, situation: Situation = WIDE) -> Correction | None:
    one = Standing(verdicts).find("h", "f", situation, NOW)
    return None if one is None else one.correction


def test_a_correction_holds_under_approvals_until_it_is_undone_and_an_approval_carries_none() -> None:
    given_ = [verdict(1, "correct", ON_HOST, correction=LOW), verdict(2, "approve", ON_HOST)]
    given_.append(verdict(3, "approve", ON_FINDING, correction=LOW))  # as early versions stored it
    assert found(*given_) == 3 and corrected(*given_) == LOW
    by = Standing(given_).find("h", "f", WIDE, NOW)
    assert by is not None and by.corrected_by == given_[0]
    assert corrected(*given_, verdict(4, "undo", undoes=3)) == LOW
    undone = [*given_, verdict(4, "undo", undoes=1)]
    assert found(*undone) == 3 and corrected(*undone) is None
    assert corrected(*undone, verdict(5, "undo", undoes=4)) == LOW


def test_an_approval_upholds_what_held_when_it_was_given() -> None:
    low, high = (verdict(seq, "correct", ON_HOST, correction=one) for seq, one in ((1, LOW), (4, HIGH)))
    assert corrected(low, verdict(3, "approve", ON_FINDING), high) == LOW
    assert corrected(verdict(3, "approve", ON_FINDING), high) is None
    assert corrected(low, verdict(2, "approve", ON_HOST), verdict(3, "approve", ON_HOST), high) == HIGH
    ended = verdict(2, "accept", ON_FINDING, until="2026-11-28")
    assert (
        corrected(verdict(1, "correct", ON_FINDING, correction=LOW), ended, verdict(3, "approve", ON_FINDING)) is None
    )


def test_what_is_under_approvals_of_the_same_thing_is_known_by_them() -> None:
    low = verdict(1, "correct", ON_HOST, correction=LOW)
    given_ = [low, verdict(2, "approve", ON_HOST), verdict(3, "approve", ON_HOST)]
    assert Standing(given_).approved == {3: low}
    assert Standing([*given_, verdict(4, "false_positive", ON_HOST)]).approved == {}
    assert Standing([*given_, verdict(4, "undo", undoes=1)]).approved == {}


situations = st.sampled_from([WIDE, NARROW, OTHER])
targets = st.one_of(
    st.builds(Target, st.sampled_from(["h", "i"]), st.sampled_from(["f", "g"]), st.none()),
    st.builds(Target, st.sampled_from(["h", "i", None]), st.none(), situations),
)
moves = st.lists(
    st.tuples(
        st.sampled_from(["approve", "accept", "false_positive", "undo"]),
        targets,
        st.sampled_from(["2026-11-01", "2030-01-01"]),
        st.integers(1, 9),
    ),
    max_size=9,
)


@given(moves, st.sampled_from(["h", "i"]), st.sampled_from(["f", "g"]), situations)
def test_any_log_is_read_as_by_whoever_looks_through_it_for_each_finding(
    log: list[tuple[str, Target, str, int]], host: str, fingerprint: str, situation: Situation
) -> None:
    verdicts: list[Verdict] = []
    for seq, (kind, target, until, undoes) in enumerate(log, 1):
        if kind == "undo":
            if undoes < seq:
                verdicts.append(verdict(seq, kind, target, undoes=undoes))
            else:
                verdicts.append(verdict(seq, "approve", target))
        else:
            verdicts.append(verdict(seq, kind, target, until=until if kind == "accept" else None))

    def is_undone(seq: int) -> bool:
        return any(one.undoes == seq and not is_undone(one.seq) for one in verdicts)

    expected = None
    for scope in ("finding", "host", "everywhere"):
        fitting = [
            one
            for one in verdicts
            if one.kind != "undo"
            and not is_undone(one.seq)
            and one.target.scope == scope
            and (one.target.fingerprint == fingerprint if scope == "finding" else one.target.host in (host, None))
            and (one.target.situation is None or one.target.situation.covers(situation))
        ]
        last = max(fitting, key=lambda one: one.seq, default=None)
        if last is not None and not (last.until is not None and last.until < NOW[:10]):
            expected = last.seq
            break
    assert found(*verdicts, host=host, fingerprint=fingerprint, situation=situation) == expected


corrections = st.lists(
    st.tuples(st.sampled_from(["approve", "correct"]), targets, st.sampled_from([LOW, HIGH])), max_size=9
)


@given(corrections, targets, situations)
def test_an_approval_changes_nothing_and_nothing_stays_of_corrections_that_are_undone(
    log: list[tuple[str, Target, Correction]], target: Target, situation: Situation
) -> None:
    verdicts = [verdict(seq, kind, on, correction=said) for seq, (kind, on, said) in enumerate(log, 1)]
    approval = verdict(len(log) + 1, "approve", target)
    if found(*verdicts, approval, situation=situation) == approval.seq:
        assert corrected(*verdicts, approval, situation=situation) == corrected(*verdicts, situation=situation)
    undone = [one.seq for one in verdicts if one.kind == "correct"]
    undos = [verdict(approval.seq + at, "undo", undoes=seq) for at, seq in enumerate(undone, 1)]
    assert corrected(*verdicts, approval, *undos, situation=situation) is None
