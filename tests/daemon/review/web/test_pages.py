"""What the pages show: the same queue as the commands, narrowed, walked through, and nothing of a host's strings."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.review.queue import AT_STAKE, Entry, Queue
from daemon.review.web.app import POLICY
from pipeline.display import printable
from pipeline.review.log import FILE_NAME, VerdictLog
from tests.daemon.cli.invoke import in_a_process
from tests.daemon.review.web.served import HOSTILE, Client, Served, copied, served, verdicts


@pytest.fixture(scope="module")
def page(scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(copied(scanned, tmp_path_factory.mktemp("pages") / "copy")) as one:
        yield one


def queued(state: Path, wanted: Filter) -> list[Entry]:
    with Ledger.open(state, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger:
        return Queue(ledger, None, "2026-11-29T00:00:00Z").unreviewed(wanted)


def shown(client: Client, path: str) -> list[str]:
    return client.get(path).listed


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Filter(statuses=AT_STAKE)),
        ("?level=high", Filter(level="high", statuses=AT_STAKE)),
        ("?class=ioc.suspicious_*", Filter(class_="ioc.suspicious_*", statuses=AT_STAKE)),
        ("?host=db02", Filter(host="db02", statuses=AT_STAKE)),
        ("?scanner=ioc&level=critical", Filter(scanner="ioc", level="critical", statuses=AT_STAKE)),
        ("?level=nonsense&page=-1&page=x", Filter(statuses=AT_STAKE)),
    ],
)
def test_the_list_is_the_queue_of_the_commands_in_its_order(
    page: Served, alice: Client, query: str, wanted: Filter
) -> None:
    entries = queued(page.state, wanted)
    assert entries and shown(alice, f"/{query}") == [entry.situation for entry in entries]


def test_what_passed_is_listed_on_request_page_by_page(
    page: Served, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.review.web.listing._ROWS", 20)
    entries = [entry.situation for entry in queued(page.state, Filter())]
    assert 40 < len(entries) < 60
    assert [shown(alice, f"/?all=1&page={number}") for number in (1, 2, 3, 999)] == [
        entries[:20], entries[20:40], entries[40:], entries[40:],
    ]  # fmt: skip
    assert alice.get("/?all=1&page=2").links("/?all=1") == ["/?all=1&page=1", "/?all=1&page=3"]


def test_a_text_is_found_wherever_it_stands_in_a_line_and_keys_are_found_too(alice: Client) -> None:
    everything = shown(alice, "/")
    some = shown(alice, "/?q=/tmp/.cache-helper")
    assert 0 < len(some) < len(everything)
    assert shown(alice, "/?q=no+such+path") == [] and "fits" in alice.get("/?q=no+such+path").words
    key = alice.get("/").links("/finding/")[0].removeprefix("/finding/").partition("?")[0]
    assert shown(alice, f"/?q={key}") == everything[:1]
    controls = shown(alice, "/?q=PR.DS-10")
    assert controls and set(controls) < set(everything)


def test_a_finding_says_why_what_the_model_said_and_how_far_each_scope_reaches(page: Served, alice: Client) -> None:
    (two_hosts,) = [
        link for link in alice.get("/?class=mac.apparmor").links("/finding/") if link.startswith("/finding/")
    ]
    answer = alice.get(two_hosts)
    said = answer.words
    assert "this situation on this host affects 1 line on 1 host" in said
    assert "this situation on every host, now and later affects 2 lines on 2 hosts" in said
    assert "this finding alone affects 1 line on 1 host" in said
    for heading in ("Why medium", "said", "Mapped to", "What to do", "History", "Others in this situation"):
        assert heading in said, heading
    assert "base severity" in said and "NIST 800-53" in said and "Nobody has decided anything about it" in said
    here = two_hosts.partition("of=")[2][:5]
    assert any(f"of={({'db02&': 'web01', 'web01': 'db02'})[here]}" in link for link in answer.links("/finding/"))


def test_the_walk_leads_from_one_to_the_next_of_what_the_list_was_narrowed_to(alice: Client) -> None:
    links = alice.get("/?level=high").links("/finding/")
    assert len(links) > 2 and all("level=high" in link for link in links)
    at, seen = alice.get(links[0]), [links[0]]
    while onward := [link for link in at.text.split("<a ") if 'data-key="j"' in link.partition(">")[0]]:
        seen.append(unescape(onward[0].partition('href="')[2].partition('"')[0]))
        at = alice.get(seen[-1])
    assert seen == links and f"{len(links)} of {len(links)}" in at.words


def test_a_key_of_a_line_or_a_beginning_leads_to_the_finding_and_none_is_not_found(alice: Client) -> None:
    key = alice.get("/").links("/finding/")[0].removeprefix("/finding/").partition("?")[0]
    assert key[:12] in alice.get(f"/finding/{key[:12]}").words
    for path in ("/finding/ffffffffffff", "/finding/abc", "/finding/%00%ff", "/nothing", "/finding/", "/static/x.js"):
        answer = alice.get(path)
        assert answer.status == 404 and answer.headers["content-security-policy"] == POLICY, path


def test_every_answer_carries_the_policy_and_is_not_kept(page: Served, alice: Client) -> None:
    stranger = Client(page.where)
    finding = alice.get("/").links("/finding/")[0]
    answers = [alice.get(path) for path in ("/", finding, "/history", "/many", "/nothing", "/pulse")]
    answers += [stranger.get("/"), stranger.get("/", Host="evil.example"), stranger.post("/undo", [])]
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY, answer.address
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "server" not in answer.headers
    assert "'unsafe" not in POLICY and "default-src 'none'" in POLICY and "http" not in POLICY


def test_pages_load_nothing_but_our_own_files_and_hold_no_script_or_style(alice: Client) -> None:
    finding = alice.get("/").links("/finding/")[0]
    for path in ("/", finding, "/history", "/many?every=1"):
        text = alice.get(path).text
        assert (
            text.count("<script") == 1
            and "<style" not in text
            and " style=" not in text
            and " on" not in [attribute for attribute in text.split('"') if attribute.startswith(" onclick")]
        )
        for part in text.split('src="')[1:] + text.split('<link rel="stylesheet" href="')[1:]:
            file = alice.get(part.partition('"')[0])
            assert file.status == 200 and "immutable" in file.headers["cache-control"]


def test_what_a_host_chose_is_shown_and_stands_nowhere_as_it_is(hostile: Path, tmp_path: Path) -> None:
    with served(copied(hostile, tmp_path / "copy")) as page:
        client = Client(page.where).enter()
        links = client.get("/?all=1").links("/finding/")
        texts = [client.get(link) for link in links]
        texts += [client.get(path) for path in ("/", "/?all=1", "/many?every=1", "/history")]
        form = texts[0].deciding
        typed = client.send(form, kind="false_positive", reason=HOSTILE)  # and what a reviewer types
        assert typed.status == 200 and verdicts(page.state)[0].reason == " ".join(HOSTILE.split())
        refused = client.send(typed.deciding, kind="accept", reason=HOSTILE, owner=HOSTILE, until="soon")
        assert refused.status == 422
        texts += [typed, refused, client.get("/history")]
        assert len(texts) > 20
        showing = 0
        for answer in texts:
            assert answer.status in (200, 422)
            shown_ = re.sub(r'value="[^"]*"', "", answer.text)  # what goes back as it came is escaped, and not shown
            assert "\x1b" not in shown_ and "\u202e" not in shown_
            assert "<script>" not in answer.text and "<img" not in answer.text
            assert answer.text.count("</title>") == 1
            showing += unescape(answer.text).count(printable("<script>document.title='owned'</script>"))
        assert showing > 20 and "{{7*7}}" in texts[0].words  # it is there to be read
        # What was typed comes back as it was, where it is typed again.
        assert dict(refused.deciding.fields)["reason"] == " ".join(HOSTILE.split())


def test_the_command_and_the_page_see_each_others_verdicts(scanned: Path, tmp_path: Path) -> None:
    state = copied(scanned, tmp_path / "copy")
    with served(state) as page:
        client = Client(page.where).enter()
        before = shown(client, "/")
        ended = in_a_process(
            "review", "false-positive", before[0], "--everywhere", "--reason", "by command", "--yes", "--state-dir",
            str(state),
        )  # fmt: skip
        assert ended.code == 0, ended.err
        assert shown(client, "/") == before[1:]
        assert client.get("/pulse").text == '{"seq":1}'
        assert "by command" in client.get("/history").words
        client.send(client.get(client.get("/").links("/finding/")[0]).deciding, kind="approve")
        listed = in_a_process("review", "list", "--json", "--limit", "0", "--state-dir", str(state))
        assert [line.partition('"situation":"')[2][:32] for line in listed.out.splitlines()] == before[2:]


def test_the_progress_is_what_the_list_leaves_whatever_was_decided(scanned: Path, tmp_path: Path) -> None:
    state = copied(scanned, tmp_path / "copy")
    with served(state) as page:
        client = Client(page.where).enter()
        for scope in ("finding", "host", "everywhere", "finding", "finding"):
            answer = client.get("/?level=medium")  # narrowed, while the progress is of all
            with (
                VerdictLog.open(state / FILE_NAME) as log,
                Ledger.open(state, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger,
            ):
                queue = Queue(ledger, log, "2026-11-29T00:00:00Z")
                entries, every = queue.unreviewed(Filter(statuses=AT_STAKE)), queued(state, Filter(statuses=AT_STAKE))
            findings, of = (sum(entry.findings for entry in some) for some in (entries, every))
            assert f"{len(every) - len(entries)} of {len(every)} situations decided" in answer.words
            assert f"{findings} of {of} findings left" in answer.words
            number = len(page.verdicts())
            link = client.get("/").links("/finding/")[number]
            client.send(client.get(link).deciding, kind="approve", scope=scope)
            assert len(page.verdicts()) == number + 1


def test_a_log_that_is_replaced_or_a_ledger_that_goes_away_is_said_and_taken_up_again(
    scanned: Path, tmp_path: Path
) -> None:
    state = copied(scanned, tmp_path / "copy")
    with served(state) as page:
        client = Client(page.where).enter()
        client.send(client.get(client.get("/").links("/finding/")[0]).deciding, kind="approve")
        for name in ("review.db", "review.db-wal", "review.db-shm"):
            (state / name).unlink(missing_ok=True)
        assert client.get("/pulse").text == '{"seq":0}'
        (state / "ledger.db").rename(state / "away")
        answer = client.get("/")
        assert answer.status == 503 and "there is no ledger here yet" in answer.words
        (state / "away").rename(state / "ledger.db")
        assert client.get("/").status == 200
