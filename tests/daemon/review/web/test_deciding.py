"""Deciding on the page: once, by whoever was shown it, and only on what the page said."""

import contextlib
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.review.log import FILE_NAME
from tests.daemon.cli.invoke import in_a_process
from tests.daemon.review.web.served import Answer, Client, Served, scan, served, take_in


def first(client: Client, query: str = "") -> Answer:
    return client.get(client.get(f"/{query}").links("/finding/")[0])


def test_each_verdict_is_stored_as_the_command_stores_it_and_leads_to_the_next(page: Served, alice: Client) -> None:
    answer = first(alice)
    second = alice.get(alice.get("/").links("/finding/")[1]).text.partition("<title>")[2].partition("<")[0]
    answer = alice.send(answer.deciding, kind="approve")
    assert "verdict 1 : approved" in answer.words and second in answer.text and "1 of" in answer.words
    answer = alice.send(answer.deciding, kind="false_positive", reason="a  test\nhost", scope="finding")
    answer = alice.send(answer.deciding, kind="accept", reason="known", until="2030-01-01", owner="ops")
    answer = alice.send(
        answer.deciding, kind="correct", reason="too high", to_level="low", to_class="mac.apparmor", scope="everywhere",
        control="nist_800_53_r5:CM-6 nist_800_53_r5:SC-30", technique="T1068", assessment="Ours.", impact="None.",
    )  # fmt: skip
    assert answer.status == 200
    one, two, three, four = page.verdicts()
    assert {verdict.author for verdict in page.verdicts()} == {"alice"}
    assert (one.kind, one.target.scope, one.reason, one.correction) == ("approve", "host", "", None)
    assert (two.kind, two.target.scope, two.reason) == ("false_positive", "finding", "a test host")
    assert (three.kind, three.owner, three.until, three.target.scope) == ("accept", "ops", "2030-01-01", "host")
    assert (four.kind, four.target.scope, four.target.host) == ("correct", "everywhere", None)
    said = four.correction
    assert said is not None and (said.level, said.class_id, said.assessment) == ("low", "mac.apparmor", "Ours.")
    assert said.controls == ("nist_800_53_r5:CM-6", "nist_800_53_r5:SC-30") and said.techniques == ("T1068",)
    # What a model may learn from is kept as the command keeps it.
    by_command = in_a_process(
        "review", "undo", "1", "--yes", "--state-dir", str(page.state)
    )  # fmt: skip
    assert by_command.code == 0
    situation = page.verdicts()[0].target.situation
    assert situation is not None
    in_a_process("review", "approve", "--class", situation.class_id, "--yes", "--state-dir", str(page.state))
    again = page.verdicts()[-1]
    assert (again.kind, again.target, again.case) == (one.kind, one.target, one.case) and one.case


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"kind": "false_positive"}, "reason", "say why"),
        ({"kind": "accept", "reason": "r"}, "until", "say until when"),
        ({"kind": "accept", "reason": "r", "until": "2020-01-01"}, "until", "that day is over"),
        ({"kind": "accept", "reason": "r", "until": "soon"}, "until", "not a day"),
        ({"kind": "correct", "reason": "r"}, "to-level", "nothing to correct"),
        ({"kind": "correct", "reason": "r", "to_class": "no.such"}, "to-class", "no such thing"),
        ({"kind": "correct", "reason": "r", "control": "nist:X"}, "control", "no such thing"),
        ({"kind": "approve", "reason": "r" * 5000}, "reason", "at most 4,000"),
        ({"kind": "undo", "reason": "r"}, "", "one of the four buttons"),
        ({"kind": "approve", "scope": "world"}, "", "what you decide on"),
        ({}, "", "one of the four buttons"),
    ],
)
def test_a_mistake_is_said_at_its_field_with_what_was_typed_and_nothing_is_stored(
    page: Served, alice: Client, values: dict[str, str], field: str, says: str
) -> None:
    answer = alice.send(first(alice).deciding, **values)
    assert answer.status == 422 and says in answer.words and page.verdicts() == []
    assert (f'id="wrong-{field}"' in answer.text) == bool(field)
    typed = dict(answer.deciding.fields)
    assert all(
        typed[name.replace("_", "-")] == value for name, value in values.items() if name not in ("kind", "scope")
    )
    mended = alice.send(
        answer.deciding, kind="accept", reason="r", until="2030-01-01", scope="host"
    )  # the form can be sent again
    assert mended.status == 200 and len(page.verdicts()) == 1


def test_a_form_that_is_sent_twice_decides_once_and_says_so(page: Served, alice: Client) -> None:
    form = first(alice).deciding
    assert alice.send(form, kind="approve").status == 200
    again = alice.send(form, kind="false_positive", reason="another wish")
    assert again.status == 200 and "Already recorded: verdict 1 : approved" in again.words
    assert [verdict.kind for verdict in page.verdicts()] == ["approve"]


def test_of_many_that_send_the_same_form_at_once_one_decides(page: Served, alice: Client) -> None:
    form = first(alice).deciding
    answers: list[Answer] = []

    def send() -> None:
        other = Client(page.where)
        other.cookies = dict(alice.cookies)
        answers.append(other.send(form, kind="approve"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and {answer.status for answer in answers} == {200}
    assert sum("Already recorded" in answer.words for answer in answers) == 7 and len(page.verdicts()) == 1


def test_two_reviewers_in_two_programs_are_told_of_each_other(page: Served, alice: Client) -> None:
    with served(page.state, author="bob") as other:
        bob = Client(other.where).enter()
        ours, theirs = first(alice), first(bob)
        assert bob.send(theirs.deciding, kind="false_positive", reason="ours since May").status == 200
        answer = alice.send(ours.deciding, kind="accept", reason="until replaced", until="2030-01-01")
        assert answer.status == 409 and len(page.verdicts()) == 1
        assert "Somebody has decided on this since the page was drawn" in answer.words
        assert (
            "Verdict 1: false positive, ioc.deleted_executable on web01, by bob" in answer.words
            and "ours since May" in answer.words
        )
        typed = dict(answer.deciding.fields)
        assert (typed["reason"], typed["until"]) == ("until replaced", "2030-01-01")
        assert alice.send(answer.deciding, kind="accept").status == 200  # having seen it
        assert [(one.kind, one.author) for one in page.verdicts()] == [("false_positive", "bob"), ("accept", "alice")]


def test_verdicts_of_others_on_something_else_do_not_stand_in_the_way(page: Served, alice: Client) -> None:
    ours = first(alice)
    other = alice.get(alice.get("/").links("/finding/")[1])
    assert alice.send(other.deciding, kind="approve").status == 200
    assert alice.send(ours.deciding, kind="approve").status == 200
    assert len(page.verdicts()) == 2


@pytest.mark.parametrize("scope", ["finding", "host", "everywhere"])
def test_whatever_overlaps_stands_in_the_way_whichever_scope_came_first(
    page: Served, alice: Client, scope: str
) -> None:
    for theirs in ("finding", "host", "everywhere"):
        ours, before = first(alice).deciding, len(page.verdicts())
        alice.send(first(alice).deciding, kind="approve", scope=theirs)
        answer = alice.send(ours, kind="false_positive", reason="r", scope=scope)
        assert answer.status == 409, (theirs, scope)
        alice.send(next(form for form in alice.get("/history").forms() if form.action == "/undo"))
        assert len(page.verdicts()) == before + 2


def test_an_undo_by_somebody_else_stands_in_the_way_too(page: Served, alice: Client) -> None:
    alice.send(first(alice).deciding, kind="approve", scope="finding")
    decided = alice.get(f"/finding/{page.verdicts()[0].target.fingerprint}")
    in_a_process("review", "undo", "1", "--yes", "--state-dir", str(page.state))
    answer = alice.send(decided.deciding, kind="false_positive", reason="r", scope="finding")
    assert answer.status == 409 and "Verdict 2: undone" in answer.words


def test_a_scan_that_brings_more_of_it_stands_in_the_way_where_the_page_said_less(
    page: Served, alice: Client, tmp_path: Path
) -> None:
    ours = first(alice).deciding
    here = first(alice).deciding
    scan(tmp_path / "copy", "web01-ioc.json", host="web02")
    answer = alice.send(ours, kind="approve", scope="everywhere")
    assert answer.status == 409 and "has changed since the page was drawn" in answer.words
    assert "now and later affects 2 lines on 2 hosts" in answer.words and page.verdicts() == []
    assert alice.send(here, kind="approve", scope="host").status == 200  # on this host it is what it was
    assert alice.send(answer.deciding, kind="approve", scope="everywhere").status == 409  # which the other has not seen


def test_forms_of_somebody_else_of_another_finding_or_made_up_decide_nothing(page: Served, alice: Client) -> None:
    form = first(alice).deciding
    other = alice.get(alice.get("/").links("/finding/")[1]).deciding
    bob = Client(page.where).enter()
    token = dict(form.fields)["form"]
    name, seq, marks, seal = token.split(".")
    later = f"{name}.{int(seq) + 1}.{marks}.{seal}"
    tries = [
        bob.send(form, kind="approve"),
        alice.send(replace(other, fields=[(n, token if n == "form" else v) for n, v in other.fields]), kind="approve"),
        alice.send(form, kind="approve", form=""),
        alice.send(form, kind="approve", form="a.b.c.d"),
        alice.send(form, kind="approve", form=later),
        alice.send(form, kind="approve", form=token[:-1] + ("0" if token[-1] != "0" else "1")),
    ]
    assert {answer.status for answer in tries} == {409} and page.verdicts() == []
    assert all("drawn for another session" in answer.words for answer in tries)
    assert alice.send(form, kind="approve").status == 200


def test_many_are_decided_on_at_once_and_undone_at_once(page: Served, alice: Client) -> None:
    queue = alice.get("/?class=suid_sgid.unexpected")
    (list_,) = [form for form in queue.forms() if form.action == "/many"]
    keys = list_.choices["key"]
    assert len(keys) > 2
    chosen = replace(list_, fields=[*list_.fields, ("key", keys[0]), ("key", keys[1])])
    many = alice.send(chosen)
    assert "by 2 verdicts" in many.words or "by 3 verdicts" in many.words
    form = many.deciding
    answer = alice.send(form, kind="false_positive", reason="checked with debsums", scope="everywhere")
    assert answer.status == 200 and "verdicts 1 to 2" in answer.words
    assert {one.target.scope for one in page.verdicts()} == {"everywhere"}
    again = alice.send(form, kind="approve")
    assert "Already recorded: verdicts 1 to 2" in again.words and len(page.verdicts()) == 2
    assert alice.get("/?class=suid_sgid.unexpected").listed == keys[2:]
    (undo,) = [one for one in answer.forms() if one.action == "/undo"]
    undone = alice.send(undo)
    assert "verdicts 3 to 4 : undone" in undone.words
    assert [one.undoes for one in page.verdicts()[2:]] == [1, 2]
    assert alice.get("/?class=suid_sgid.unexpected").listed == keys


def test_everything_that_a_filter_shows_is_decided_on_and_nothing_beside_it(page: Served, alice: Client) -> None:
    listed, some = alice.get("/").listed, alice.get("/?q=/usr/sbin").listed
    assert 0 < len(some) < len(listed)
    many = alice.get("/many?every=1&q=/usr/sbin")
    assert alice.send(many.deciding, kind="approve").status == 200
    assert alice.get("/").listed == [key for key in listed if key not in some]
    answer = alice.get("/many?key=0123")
    assert answer.status == 404 and "choose situations in the list" in answer.words


def test_many_that_somebody_has_begun_with_are_shown_again(page: Served, alice: Client) -> None:
    many = alice.get("/many?every=1&class=suid_sgid.*").deciding
    alice.send(first(alice, "?class=suid_sgid.*").deciding, kind="approve")
    answer = alice.send(many, kind="false_positive", reason="r")
    assert (
        answer.status == 409
        and "Verdict 1: approved, suid_sgid.usr_local on db02, by alice" in answer.words
        and len(page.verdicts()) == 1
    )
    assert alice.send(answer.deciding, kind="false_positive").status == 200 and len(page.verdicts()) > 3


def test_an_undo_is_recorded_once_and_one_that_came_later_is_told(page: Served, alice: Client) -> None:
    answer = alice.send(first(alice).deciding, kind="approve")
    (undo,) = [form for form in answer.forms() if form.action == "/undo"]
    (other,) = [form for form in alice.get("/history").forms() if form.action == "/undo"]
    back = alice.send(undo)
    assert "verdict 2 : undone" in back.words and "critical" in back.words  # on the finding, to decide anew
    assert "Already recorded: verdict 2" in alice.send(undo).words
    told = alice.send(other)
    assert told.status == 409 and "alice has undone this already, with verdict 2" in told.words
    assert len(page.verdicts()) == 2


def test_to_approve_what_is_settled_is_refused_as_by_command(page: Served, alice: Client) -> None:
    settled = alice.get("/").links("/finding/")[0]
    alice.send(alice.get(settled).deciding, kind="accept", reason="r", until="2030-01-01")
    ours = alice.get(settled)
    assert "Verdict 1 counts: accepted by alice until 2030-01-01" in ours.words
    answer = alice.send(ours.deciding, kind="approve")
    assert answer.status == 409 and "verdict 1 has settled it" in answer.words and len(page.verdicts()) == 1


def test_history_says_who_decided_what_and_whether_the_log_is_whole(page: Served, alice: Client) -> None:
    with served(page.state, author="bob") as other:
        bob = Client(other.where).enter()
        bob.send(first(bob).deciding, kind="approve")
    alice.send(first(alice).deciding, kind="false_positive", reason="ours")
    words = alice.get("/history").words
    assert "The log is whole: 2 verdicts" in words and "bob" in words and "Today: " in words
    assert "false positive" not in alice.get("/history?author=bob").main.partition("<tbody")[2]
    assert alice.get("/history?kind=approve").main.count("<tr role") == 2
    with sqlite3.connect(page.state / "review.db") as connection:
        connection.execute("DROP TRIGGER only_added")
        connection.execute(
            "UPDATE verdicts SET body = CAST(replace(CAST(body AS TEXT), 'bob', 'eve') AS BLOB) WHERE seq = 1"
        )
    connection.close()
    answer = alice.get("/history")
    assert "row 1: changed" in answer.words and "is not what was written" in answer.words


def test_a_log_that_lacks_its_end_is_said_on_every_page_and_what_it_settled_comes_back(
    page: Served, alice: Client
) -> None:
    state = page.state
    before = alice.get("/").listed
    ended = in_a_process(
        "review",
        "accept",
        before[0][:12],
        "--until",
        "2030-01-01",
        "--reason",
        "known",
        "--yes",
        "--state-dir",
        str(state),
    )
    assert ended.code == 0, ended.err
    take_in(state.parent)
    assert before[0] not in alice.get("/").listed
    with contextlib.closing(sqlite3.connect(state / FILE_NAME)) as log, log:
        log.execute("DROP TRIGGER none_removed")
        log.execute("DELETE FROM verdicts")
    for path in ("/", "/history", f"/finding/{before[0]}"):
        assert "No verdict counts." in alice.get(path).text
    assert alice.get("/").listed == before
