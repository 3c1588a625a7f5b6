"""The page in a real browser: by keys alone, without a script, two people at once, twice, and too late."""

from typing import Any

import pytest

from tests.browser.conftest import Reader, Sit
from tests.daemon.review.web.served import Served, served, until


def test_by_keys_alone_until_nothing_is_left(page: Served, sit: Sit) -> None:
    reader = sit(page)
    count = reader.page.locator(".list tbody tr").count()
    reader.press("j", "j", "k", "Enter")
    reader.until(f"1 of {count}")
    reader.press("a")  # approve: nothing is asked
    reader.until("[.done]")
    assert "approved" in reader.page.locator(".done").inner_text()
    reader.press("x")  # accept: Enter goes on to what is missing
    reader.page.keyboard.type("01012030")
    reader.press("Enter")
    reader.page.keyboard.type("replaced in January")
    reader.press("Enter")
    reader.until("accepted by alice until 2030-01-01")
    reader.press("c", "4")
    reader.page.keyboard.type("too low")
    reader.press("Enter")
    reader.until("corrected to high")
    reader.press("u")
    reader.until("undone")
    reader.press("f", "Escape", "s", "s", "s", "f")  # left with Escape, begun anew
    reader.page.keyboard.type("a test host")
    reader.press("Enter")
    reader.until("[main[data-seq='5']]")
    while not reader.page.get_by_text("Nothing is left to review.").is_visible():  # some are on two hosts
        seq = len(page.verdicts())
        reader.press("a")
        reader.until(f"[main[data-seq='{seq + 1}']]")
    kinds = [verdict.kind for verdict in page.verdicts()]
    assert kinds[:5] == ["approve", "accept", "correct", "undo", "false_positive"] and len(kinds) > count + 2
    _, accepted, corrected = page.verdicts()[:3]
    assert accepted.until == "2030-01-01" and accepted.reason == "replaced in January"
    assert corrected.correction is not None and corrected.correction.level == "high"
    reader.press("h")
    reader.until("Who decided what")
    reader.page.go_back()
    reader.until("Nothing is left to review.")


def test_by_keys_one_verdict_on_many_and_back(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.press("/")
    reader.page.keyboard.type("/usr/sbin")
    reader.press("Enter")
    reader.until("all")
    reader.page.wait_for_url("**/?q=*")
    count = reader.page.locator(".list tbody tr").count()
    assert count > 1
    reader.press("j", " ", "j", " ")
    assert reader.page.locator("[name=key]:checked").count() == 2
    reader.page.get_by_text("One verdict on the chosen").press("Enter")
    reader.until("[form.decide]")
    assert "by 2 verdicts" in reader.page.locator(".scopes").inner_text()
    reader.press("f")
    reader.page.keyboard.type("shipped so")
    reader.press("Enter")
    reader.until("verdicts 1 to 2")
    assert reader.page.locator(".list tbody tr").count() == count - 2 and len(page.verdicts()) == 2
    reader.press("u")
    reader.until("verdicts 3 to 4")


def test_the_keys_are_explained_and_typing_is_not_taken_for_keys(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.press("?")
    assert reader.page.locator("dialog[open]").is_visible()
    reader.press("a", "Escape", "j", "Enter")
    reader.until("[form.decide]")
    reader.page.locator("[name=reason]").focus()
    reader.page.keyboard.type("an axle, a fax, and quick jokes")
    assert reader.page.locator("[name=reason]").input_value() == "an axle, a fax, and quick jokes"
    reader.press("Enter")  # nothing was begun: it goes to the buttons, and stores nothing
    assert reader.page.evaluate("document.activeElement.value") == "approve" and page.verdicts() == []


def test_without_a_script_everything_is_there(page: Served, sit: Sit) -> None:
    reader = sit(page, java_script_enabled=False)
    window = reader.page
    window.get_by_label("Level").select_option("high")
    window.get_by_role("button", name="Filter").click()
    window.locator(".open").first.click()
    assert window.locator("kbd:visible").count() == 0  # no key does anything
    reason = window.locator("[name=reason]")
    reason.fill("not known")
    reason.press("Enter")  # which would press the first button of the form
    assert page.verdicts() == []
    window.get_by_role("button", name="False positive").click()
    assert "verdict 1" in window.locator(".done").inner_text() and "level=high" in window.url
    assert window.locator(".done kbd:visible").count() == 0
    window.get_by_role("button", name="Accept risk").click()
    assert "say why" in window.locator("[role=alert]").inner_text()
    window.locator("[name=reason]").fill("replaced")
    assert window.locator("[name=until]").is_visible()  # what was asked for stands open
    window.locator("[name=until]").fill("2030-01-01")
    window.get_by_role("button", name="Accept risk").click()
    assert "accepted by alice until 2030-01-01" in window.locator(".done").inner_text()
    window.get_by_role("button", name="Undo").click()
    window.get_by_role("link", name="History").click()
    assert window.locator(".log tbody tr").count() == 3
    window.get_by_role("link", name="Queue").click()
    window.locator("[name=key]").nth(0).check()
    window.locator("[name=key]").nth(1).check()
    window.get_by_role("button", name="One verdict on the chosen").click()
    window.get_by_role("button", name="Approve").click()
    assert [one.kind for one in page.verdicts()] == ["false_positive", "accept", "undo", "approve", "approve"]


@pytest.mark.parametrize("scripted", [True, False])
def test_two_at_once_are_told_of_each_other_before_anything_is_stored(page: Served, sit: Sit, scripted: bool) -> None:
    with served(page.state, author="bob") as other:
        alice, bob = sit(page, java_script_enabled=scripted), sit(other, java_script_enabled=scripted)
        for one in (alice, bob):
            one.page.locator(".open").first.click()
            one.until("[form.decide]")
        bob.page.locator("[name=reason]").fill("ours since May")
        bob.page.get_by_role("button", name="False positive").click()
        bob.until("[.done]")
        alice.page.locator("[name=reason]").fill("until it is replaced")
        alice.page.get_by_role("button", name="False positive").click()
        said = alice.until("[.trouble]").inner_text()
        assert "by bob" in said and "ours since May" in said and len(page.verdicts()) == 1
        assert alice.page.locator("[name=reason]").input_value() == "until it is replaced"
        assert "Verdict 1 counts" in alice.page.locator(".lead").inner_text()
        alice.page.get_by_role("button", name="False positive").click()
        alice.until("[.done]")
        assert [(one.author, one.reason) for one in page.verdicts()] == [
            ("bob", "ours since May"), ("alice", "until it is replaced"),
        ]  # fmt: skip


def test_a_page_says_by_itself_that_others_have_decided(page: Served, sit: Sit) -> None:
    with served(page.state, author="bob") as other:
        alice, bob = sit(page), sit(other)
        alice.page.clock.install()
        alice.open("/")
        bob.press("j", "Enter")
        bob.until("[form.decide]")
        bob.press("a")
        bob.until("[.done]")
        assert not alice.page.locator(".pulse").is_visible()
        alice.page.clock.run_for(16_000)
        notice = alice.until("[.pulse]")
        count = alice.page.locator(".list tbody tr").count()
        notice.get_by_role("link").click()
        alice.until("[main[data-seq='1']]")
        assert alice.page.locator(".list tbody tr").count() == count - 1


def test_what_is_pressed_twice_or_sent_again_after_going_back_is_stored_once(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.press("j", "Enter")
    reader.until("[form.decide]")
    first = reader.page.url
    reader.page.evaluate(
        "() => { const button = document.querySelector('[value=approve]'); button.click(); button.click(); }"
    )
    reader.until("[.done]")
    until(lambda: len(page.verdicts()) == 1, "stored")
    plain = sit(page, java_script_enabled=False)
    plain.page.goto(first)
    plain.page.locator("[name=reason]").fill("as the page says")
    plain.page.get_by_role("button", name="False positive").dblclick()
    plain.until("[.done]")
    assert [one.kind for one in page.verdicts()] == ["approve", "false_positive"]
    plain.page.go_back()  # the page is drawn anew, and says what counts by now
    assert "Verdict 2 counts" in plain.page.locator(".lead").inner_text()


def test_a_program_that_is_gone_or_was_started_again_is_said(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.press("j", "Enter")
    reader.until("[form.decide]")
    reader.page.context.clear_cookies()
    reader.press("a")
    reader.until("Open the address that")
    assert page.verdicts() == []
    reader.enter()
    reader.press("j", "Enter")
    reader.until("[form.decide]")
    reader.page.route("**/finding/**", lambda route: route.abort())
    reader.press("a")
    reader.until("The program does not answer")
    reader.errors[:] = [error for error in reader.errors if "ERR_FAILED" not in error]


def focused(reader: Reader) -> Any:
    return reader.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_the_tabulator_reaches_everything_in_an_order_that_makes_sense(page: Served, sit: Sit) -> None:
    reader = sit(page)
    reader.press("j", "Enter")
    reader.until("[form.decide]")
    reader.page.locator(".skip").focus()
    seen = [focused(reader)]
    for _ in range(40):
        reader.press("Tab")
        seen.append(focused(reader))
    order = [next((at for at, html in enumerate(seen) if mark in html), -1) for mark in (
        'class="skip"', 'href="/history"', "‹ queue", 'name="scope"', 'name="reason"', 'value="approve"', "<summary",
    )]  # fmt: skip
    assert -1 not in order and order == sorted(order), seen
