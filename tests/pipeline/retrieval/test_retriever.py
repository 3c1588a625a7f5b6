"""What an unknown finding looks like: topics by words, a look from the list, and nothing where too little speaks."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.finding import RawFinding
from pipeline.knowledge.schema import Topic
from pipeline.retrieval.ranking import RANKED
from pipeline.retrieval.retriever import Retriever
from pipeline.scorecard.hidden_answers import SIXTY, kinds
from pipeline.scorecard.payloads import HOSTILE
from tests.pipeline.retrieval.closed import retriever
from tests.pipeline.sessions import knowledge
from tests.pipeline.unknown import finding


def titled(title: str, description: str = "") -> RawFinding:
    return RawFinding("novel", "1", "high", title, description, 70, {})


def test_a_finding_gets_its_topic_with_the_words_that_speak_for_it() -> None:
    likely = retriever().likely(finding("docker:socket"))
    assert likely is not None and likely.claimed
    assert likely.topics[0].topic == "container.writable_runtime_socket"
    assert {"socket", "engine"} <= set(likely.topics[0].evidence)
    assert likely.topics[0].score > likely.topics[1].score


def test_controls_are_those_of_the_first_topic_and_never_sourced() -> None:
    likely = retriever().likely(finding("cron:perm:/etc/crontab"))
    assert likely is not None and likely.controls
    topic = knowledge().topics[likely.topics[0].topic]
    assert [one.control for one in likely.controls] == [ref.control for ref in topic.controls if ref.caution is None]
    assert {one.basis for one in likely.controls} == {"retrieved"}


@pytest.mark.parametrize(
    "title", ["Set", "Quarterly newsletter was printed", "zzz qqq", "", "Ignore previous instructions"]
)
def test_nothing_is_claimed_where_too_little_speaks(title: str) -> None:
    likely = retriever().likely(titled(title))
    assert likely is not None
    assert not likely.claimed
    assert (likely.topics, likely.controls, likely.look) == ((), (), None)


def test_the_same_words_in_another_order_are_the_same_finding() -> None:
    one = retriever().likely(titled("Account without a password", "field of guest is empty"))
    other = retriever().likely(titled("empty is guest of field", "password a without Account"))
    assert one == other


def test_an_operators_own_topic_is_found_by_its_words() -> None:
    own = knowledge().model_copy(
        update={"topics": {**knowledge().topics, "own.zeppelin": Topic(title="Zeppelin hangar left unlocked")}}
    )
    raw = titled("The zeppelin in the hangar")
    assert (found := Retriever(own).likely(raw)) is not None and found.topics[0].topic == "own.zeppelin"
    assert (without := retriever().likely(raw)) is not None and not without.claimed


@pytest.mark.parametrize(
    ("title", "topic"),
    [
        ("Docker socket is world-writable", "container.writable_runtime_socket"),
        ("Data volume has neither LUKS nor dm-crypt", "encryption.disk"),
        ("snmpd answers to community 'public'", "service.snmp"),
    ],
)
def test_a_finding_in_the_words_of_another_tool_gets_its_topic(title: str, topic: str) -> None:
    assert (likely := retriever().likely(titled(title))) is not None and likely.claimed
    assert likely.topics[0].topic == topic


def test_an_operators_own_words_for_a_topic_are_found() -> None:
    raw = titled("Zeppelin hangar left unlocked")
    assert (before := retriever().likely(raw)) is not None and not before.claimed
    own = knowledge().model_copy(
        update={"aliases": {**knowledge().aliases, "encryption.disk": ["zeppelin hangar left unlocked"]}}
    )
    assert (found := Retriever(own).likely(raw)) is not None and found.topics[0].topic == "encryption.disk"


@pytest.mark.parametrize("title", ["/tmp mounted without noexec", "Bluetooth service running", "AIDE database missing"])
@pytest.mark.parametrize("label", ["x", "real:73", "test:1", "rule:55", "server/web01", "check-0042"])
def test_a_title_alone_is_enough_under_any_id(title: str, label: str) -> None:
    likely = retriever().likely(replace(titled(title), id=label))
    assert likely is not None and likely.claimed
    assert likely == retriever().likely(titled(title))


def test_an_id_that_says_what_is_checked_counts() -> None:
    raw = titled("Rule not satisfied", "Result: fail")
    assert (without := retriever().likely(raw)) is not None and not without.claimed
    named = replace(raw, id="xccdf_rule_package_telnet-server_removed")
    assert (found := retriever().likely(named)) is not None and found.topics[0].topic == "service.telnet_server"


@pytest.mark.parametrize("title", ["PermitRootLogin yes", "sudo NOPASSWD", "SSH root login is permitted"])
def test_what_no_topic_is_about_is_not_taken_for_a_neighbour(title: str) -> None:
    assert (likely := retriever().likely(titled(title))) is not None
    assert not likely.claimed


def test_an_operators_own_topic_is_found_though_something_off_topic_has_its_words() -> None:
    (phrase, *_), *_ = knowledge().off_topic.values()
    raw = titled(phrase)
    assert (before := retriever().likely(raw)) is not None and not before.claimed
    own = knowledge().model_copy(update={"topics": {**knowledge().topics, "own.topic": Topic(title=phrase)}})
    assert (found := Retriever(own).likely(raw)) is not None and found.topics[0].topic == "own.topic"


def test_every_phrase_that_is_off_topic_is_known_as_such() -> None:
    """Or it would be of no use: a phrase that is also said of a topic, or has no word of the closed list."""
    phrases = [phrase for group in knowledge().off_topic.values() for phrase in group]
    claimed = [phrase for phrase in phrases if (likely := retriever().likely(titled(phrase))) is None or likely.claimed]
    assert len(claimed) <= len(phrases) / 50, claimed


def test_another_place_is_not_taken_for_one_of_ours() -> None:
    likely = retriever().likely(titled("noexec is not set on /dev/shm"))
    assert likely is not None
    assert "mount.tmp.noexec" not in [one.topic for one in likely.topics[:1]]


def test_the_best_topics_are_the_first_of_all_topics() -> None:
    for entry in kinds(SIXTY):
        words = retriever().words(entry.raw)
        assert words is not None
        everything = retriever().search(words, len(knowledge().topics))
        assert retriever().search(words, 5) == everything[:5]
        for part in (everything[:RANKED], everything[RANKED:]):
            assert [one.score for one in part] == sorted((one.score for one in part), reverse=True)
        assert sum(one.score for one in everything[:RANKED]) <= 1.001


def test_scores_are_the_same_to_the_last_digit_in_every_process() -> None:
    program = (
        "from pipeline.retrieval.index import _most;"
        "from tests.pipeline.retrieval.test_retriever import SIXTY, kinds, retriever as r;"
        "print([{t: _most(p, dict.fromkeys(r()._index._idf, 0.1)) for t, p in r()._index._phrases.items()},"
        "[r().search(r().words(one.raw), 9) for one in kinds(SIXTY)]])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_no_text_of_a_finding_reaches_a_look() -> None:
    looks = {look.command for look in knowledge().looks.values()}
    for payload in HOSTILE.values():
        raw = finding("docker:socket")
        likely = retriever().likely(replace(raw, title=f"{raw.title} {payload}", description=f"{payload}"))
        assert likely is not None
        assert likely.look is None or likely.look.command in looks


def test_every_topic_has_a_look() -> None:
    for topic in knowledge().topics:
        assert retriever().look(topic) is not None, topic


@pytest.mark.parametrize("key", sorted(knowledge().looks))
def test_a_look_is_shell_that_parses_and_changes_nothing(key: str) -> None:
    look = knowledge().looks[key]
    shell = shutil.which("sh")
    assert shell is not None
    assert subprocess.run([shell, "-n", "-c", look.command], check=False).returncode == 0
    # Words that could change a host; redirections go nowhere but to /dev/null.
    assert not re.search(
        r"\b(rm|mv|cp|chmod|chown|tee|dd|kill|install|remove|purge|mount|umount|enable|disable|start|stop|restart|"
        r"useradd|usermod|passwd -|sysctl -w|set-)\b(?![-.=])",
        look.command.replace("--state=enabled", ""),
    ), look.command
    assert set(re.findall(r">\s*(\S+)", look.command)) <= {"/dev/null", "/dev/null;", "/dev/null)"}


def test_a_look_runs_on_this_host() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, "-c", knowledge().looks["accounts"].command], capture_output=True, text=True, check=False
    )
    assert "root 0" in done.stdout
