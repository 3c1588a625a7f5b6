"""The story of a host: no sentence says what the findings do not, and each is checked by counting anew."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any, get_args

import pytest

from pipeline.finding import LEVELS, ParsedReport, RawFinding
from pipeline.output.read import read_scan
from pipeline.output.records.story import Part, Sentence, SentenceName
from pipeline.output.sentences import TEMPLATES, BadSentence, render, sentence, slots_of
from pipeline.output.write import write
from pipeline.rules.policy import Allow, Policy
from tests.pipeline.sessions import (
    Baseline,
    corpus,
    documents,
    lines_of,
    made_up,
    record_of,
    reports,
    resources,
    shared,
)

# Daemons that every kind of host has, to ask others for the time, names or accounts.
ASKING = re.compile(
    r"(?:chrony|ntp|openntpd|ptp4l|systemd-(?:timesyncd|resolved)|dbus-org|haveged|nscd|nslcd|sssd|realmd|nullmailer|rpc-|"
    r"nfs-idmapd|nfsdcld|winbind|avahi|cups-browsed)"
)
AT_STAKE = ("open", "unknown", "error")
ATTACKS = ("files.", "kernel.rootkit", "process.")
# Two scans of a host in the order in which they were made, and an allow-list of which one entry has ended.
ALLOWED = Policy(
    allow=[
        Allow.model_validate({"class": name, "owner": "operations", "reason": "agreed", "expires": ends})
        for name, ends in (("mac.apparmor", date(2099, 1, 1)), ("suid_sgid.unexpected", date(2026, 1, 1)))
    ],
    digest="allowed",
)


class Told:
    """A story beside the findings that it is about: lines as they went out, and what the report has."""

    def __init__(self, name: str, parsed: ParsedReport, session: Any) -> None:
        self.name = name
        self.header = parsed.header
        self.lines = documents(lines_of(session))
        self.record = record_of(session)
        self.story: list[dict[str, Any]] = self.record["story"]
        firsts: dict[str, dict[str, Any]] = {}
        contents = session.index.members
        for line, member in zip(self.lines, contents, strict=True):
            firsts.setdefault(member.classified.content, line)
        self.distinct = list(firsts.values())  # exact twins once

    def of(self, name: str) -> list[dict[str, str]]:
        return [one["slots"] for one in self.story if one["name"] == name]

    def one(self, name: str) -> dict[str, str] | None:
        found = self.of(name)
        assert len(found) <= 1, found
        return found[0] if found else None

    def count(self, name: str) -> int:
        """The number that a sentence says; 0 where it is left out."""
        found = self.one(name)
        assert found is None or found["count"] != "0", "a sentence where there is nothing to say"
        return int(found["count"]) if found is not None else 0


@cache
def told() -> tuple[Told, ...]:
    found = []
    for policy in (Policy(), ALLOWED):
        baseline, on = Baseline(), resources(policy=policy, texts="best")
        for number, name in enumerate(corpus(), 1):
            found += [Told(name, parsed, baseline.session(parsed, on, number)) for parsed in reports(name)]
    found += made_up_scans()
    return tuple(found)


def made_up_scans() -> Iterator[Told]:
    """What no scan of the corpus has: listeners, server units, a changed host with something new at stake, faults."""
    baseline, on = Baseline(), shared()
    unknown = RawFinding("new", "x:1", "high", "Something new", "x")
    units = [one for one in reports("web01-base-full.json.gz")[0].findings if one.scanner == "systemd_units"][:400]
    listeners = [
        RawFinding(
            "network", f"tcp:{port}:4242", "high", f"tcp LISTEN {port}", "TCP socket",
            metadata={"protocol": "tcp", "state": "LISTEN", "lport": port, "lip": address, "inode": "4242"},
        )
        for port, address in (("80", "0.0.0.0"), ("443", "0.0.0.0"), ("25", "127.0.0.1"))
    ]  # fmt: skip
    served = {"expected": "yes", "key": "PrivateTmp", "unit": "nginx.service"}
    units += [
        replace(units[1], id="systemd:PrivateTmp:nginx.service", title="nginx.service PrivateTmp", metadata=served)
    ]
    first, later = made_up([*listeners, *units]), made_up([unknown, *listeners, *units])
    faulty = replace(later, complete=False, header=replace(later.header, notes=("log_lines",)))
    for number, (parsed, rejected) in enumerate(((first, 0), (first, 0), (later, 0), (faulty, 3)), 1):
        session = baseline.session(parsed, on, number, rejected=rejected)
        yield Told(f"made up {number}", parsed, session)


class TestOracle:
    """Counts by itself, from the lines that went out."""

    def test_the_system_is_the_reports_own_claim(self) -> None:
        for one in told():
            said = one.one("host.system")
            claims = [fact for fact in (one.header.os_pretty, one.header.kernel, one.header.arch) if fact]
            assert (said is not None) == bool(claims and one.header.host), one.name
            if said is not None:
                assert said == {"host": f'"{one.header.host}"', "system": f'"{", ".join(claims)}"'}

    def test_what_the_host_is_like_is_counted_from_its_findings(self) -> None:
        for one in told():
            inventory = [line for line in one.lines if line["class"] == "processes.inventory"]
            assert one.count("host.containers") == sum("container" in line["slots"] for line in inventory)
            units = {
                line["slots"]["unit"]
                for line in one.lines
                if line["finding"]["scanner"] == "systemd_units"
                and line["features"].get("role") == "server"
                and not ASKING.match(line["slots"]["unit"])
            }
            assert one.count("host.servers") == len(units)
            assert names_in(one.one("host.servers"), "units") <= units
            known = {
                part
                for line in inventory
                if line["features"].get("program") == "service"
                for part in re.split(r"[ /:()\[\]]", line["slots"]["command"])
            }
            assert names_in(one.one("host.services"), "services") <= known
            waiting = [
                line for line in one.lines
                if line["class"] == "network.tcp_listen" and line["features"]["exposure"] == "wildcard"
            ]  # fmt: skip
            assert one.count("host.reachable") == len(waiting)

    def test_issues_findings_and_levels_are_those_of_the_lines(self) -> None:
        for one in told():
            issues = one.record["issues"]
            said = one.one("matters.count")
            at_stake = [line for line in one.distinct if line["status"] in AT_STAKE]
            assert (said is None) == (not at_stake) == bool(one.of("matters.nothing")), one.name
            if said is None:
                continue
            assert (int(said["issues"]), int(said["findings"])) == (len(issues), len(at_stake))
            levels = Counter(max_level(one, issue) for issue in issues)
            assert said["levels"] == ", ".join(
                f"{levels[level]} {level}" for level in reversed(LEVELS) if levels[level]
            )
            worst = max((line["risk"]["level"] for line in at_stake), key=LEVELS.index)
            named = [*one.of("matters.worst"), *one.of("matters.next")]
            if LEVELS.index(worst) < 2:
                assert one.one("matters.minor") == {"level": worst}
                assert not named
            else:
                assert named[0]["level"] == worst
                assert not one.of("matters.minor")
            for issue, slots in zip(issues, named, strict=False):
                assert slots["title"] == title_of(issue)
                assert slots["level"] == max_level(one, issue)
                assert bool(slots["doubt"]) == is_doubtful(issue, slots["about"])
                if slots["about"].startswith(": "):
                    assert slots["about"][3:].removesuffix('"') in issue["assessment"].replace('"', "'")
                    continue
                assert all(f'"{label}"' in slots["about"] for label in issue["labels"][:4] if len(label) < 80)
                more = re.search(r" and ([0-9,]+) more\)$", slots["about"])
                shown = min(4, len([label for label in issue["labels"] if label]))
                assert (int(more[1].replace(",", "")) if more else 0) == (issue["distinct"] - shown if shown else 0)

    def test_what_may_be_a_mistake_is_not_told_as_a_fact(self) -> None:
        told_so = set()
        for one in told():
            for slots in [*one.of("matters.worst"), *one.of("matters.next"), *one.of("changed.where")]:
                alike = [issue for issue in one.record["issues"] if title_of(issue) == slots["title"]]
                if all(issue["artefact"] is not None and issue["status"] != "unknown" for issue in alike):
                    told_so |= {issue["artefact"]["degree"] for issue in alike}
                    assert slots["doubt"], slots
        assert "cannot_tell" in told_so

    def test_the_state_of_access_control_is_told(self) -> None:
        named = [
            slots
            for one in told()
            for slots in [*one.of("matters.worst"), *one.of("matters.next")]
            if slots["title"] in ("AppArmor", "SELinux")
        ]
        assert named
        for slots in named:
            assert re.match(r": \".*(?:\b(?:is|are|run|say|says)\b)", slots["about"]), slots

    def test_mistakes_and_what_is_settled_are_counted(self) -> None:
        for one in told():
            mistakes = [
                line for line in one.distinct
                if line["status"] in AT_STAKE and (line["artefact"] or {}).get("degree") in ("certain", "likely")
            ]  # fmt: skip
            assert one.count("matters.mistakes") == len(mistakes)
            settled = [line for line in one.distinct if line["status"] in ("accepted", "false_positive")]
            assert one.count("matters.settled") == len(settled)

    def test_what_belongs_together_is_so_in_the_lines(self) -> None:
        for one in told():
            groups = {group["group"]: group for line in one.lines for group in line["correlations"]}
            patterns = one.of("together.pattern")
            assert len(patterns) == min(3, len({group["rule"] for group in groups.values()}))
            for said in patterns:
                sizes = [
                    sum(name in [group["group"] for group in line["correlations"]] for line in one.distinct)
                    for name, group in groups.items()
                    if group["title"] == said["title"]
                ]
                assert int(said["count"]) in sizes
            assert one.count("together.more") == len(groups) - len(patterns)
            reasons = {group["why"] for group in groups.values()}
            assert all(said["why"] in reasons for said in one.of("together.why"))
            shared = [
                line for line in one.distinct
                if len({
                    group["rule"] for group in line["correlations"]
                    if group["rule"].startswith(ATTACKS) and not group["rule"].endswith("_seen_twice")
                }) > 1
            ]  # fmt: skip
            assert one.count("together.shared") == (len(shared) if len(shared) > 1 else 0)

    def test_what_changed_is_what_the_lines_say(self) -> None:
        for one in told():
            states: dict[str, set[str]] = {}
            for line in one.lines:
                if line["baseline"] is not None:
                    states.setdefault(line["baseline"]["state"], set()).add(line["fingerprint"])
            said = one.one("changed.counts")
            gone = [] if one.record["baseline"] is None else one.record["baseline"]["resolved"]
            for name in ("new", "changed", "regressed"):
                wanted = f"{len(states.get(name, ())):,} {name}"
                assert said is None or (name in states) == (wanted in said["states"].split(", ")), one.name
            if said is not None:
                assert (f"{len(gone)} resolved" in said["states"].split(", ")) == bool(gone)
            assert "earlier" not in " ".join(each["text"] for each in one.story if each["name"] == "changed.all_new")
            if one.of("changed.all_new"):
                assert set(states) == {"new"}
                assert not gone
            if one.of("changed.nothing"):
                assert not states.keys() - {"recurring", "resolved"}
                assert not gone
            for slots in one.of("changed.where"):
                fresh = {line["class"] for line in one.lines if (line["baseline"] or {}).get("state") == "new"}
                titles = {title_of(issue): issue for issue in one.record["issues"] if "new" in issue["baseline"]}
                assert titles[slots["title"]]["class"] in fresh

    def test_what_is_to_be_done_is_offered_and_harmless(self) -> None:
        for one in told():
            offered = {
                action["summary"].removesuffix(".")
                for line in one.lines
                for action in line["remediation"]
                if action["contraindicated"] is None and line["status"] in AT_STAKE
            }
            looks = {line["likely"]["look"]["summary"] for line in one.lines if (line.get("likely") or {}).get("look")}
            issues = one.record["issues"]
            urgent = [issue for issue in issues if issue["level"] in ("high", "critical")]
            said = [*one.of("todo.now"), *one.of("todo.act"), *one.of("todo.later")]
            for slots in said:
                if ", look first: " in slots["summary"]:
                    assert slots["summary"].rpartition(", look first: ")[2] in looks, slots
                elif slots["summary"].endswith(": no class knows it."):
                    title = slots["summary"].removeprefix("Read what the scanner says of ").rpartition(": ")[0]
                    unknown = [issue for issue in urgent if issue["class"].startswith("unknown.")]
                    assert title.strip('"') in [issue["title"] for issue in unknown if not (issue.get("likely") or {})]
                else:
                    plain = re.sub(r' \("[^()]*\)\.$', "", slots["summary"]).removesuffix(".")
                    assert {plain, slots["summary"].removesuffix(".")} & offered, slots
            assert not (one.of("todo.act") and not urgent)
            assert not (one.of("todo.later") and urgent)
            firsts = {group["first"].removesuffix(".") for group in one.record["correlations"]}
            assert all(slots["first"].partition(' ("')[0].removesuffix(".") in firsts for slots in one.of("todo.first"))
            assert one.count("todo.expired") == len(one.record["policy"]["expired"])

    def test_what_is_to_be_done_follows_the_issues_and_a_critical_thing_is_for_now(self) -> None:
        for one in told():
            issues = one.record["issues"]
            urgent = [issue for issue in issues if issue["level"] in ("high", "critical")]
            said = [slots["summary"] for slots in one.of("todo.now") + one.of("todo.act")]
            wanted = [(issue["level"], text) for issue in urgent if (text := what_to_do(issue)) is not None]
            wanted = [each for number, each in enumerate(wanted) if each not in wanted[:number]][:3]
            assert len(said) == len(wanted), one.name
            assert all(text in summary for summary, (_, text) in zip(said, wanted, strict=True)), one.name
            assert len(one.of("todo.now")) == sum(level == "critical" for level, _ in wanted)
            if one.of("todo.first"):
                (first,) = one.of("todo.first")
                levels = [
                    group["level"]
                    for group in one.record["correlations"]
                    if first["first"].startswith(group["first"].removesuffix("."))
                ]
                assert issues[0]["level"] in levels

    def test_nothing_is_put_off_where_the_scan_did_not_see_all(self) -> None:
        seen = set()
        for one in told():
            urgent = [issue for issue in one.record["issues"] if issue["level"] in ("high", "critical")]
            statuses = {line["status"] for line in one.lines}
            is_whole = one.record["complete"] and "error" not in statuses and one.header.euid in (None, "0")
            assert bool(one.of("todo.no_hurry")) == bool(one.record["issues"] and not urgent and is_whole), one.name
            seen.add((bool(urgent), is_whole))
        assert len(seen) == 4

    def test_what_could_not_be_seen_is_what_the_report_lacks(self) -> None:
        for one in told():
            statuses = Counter(line["status"] for line in one.distinct)
            assert one.count("unseen.errors") == statuses["error"]
            assert one.count("unseen.undecided") == statuses["unknown"]
            assert one.count("unseen.unknown_class") == sum(line["class"].startswith("unknown.") for line in one.lines)
            assert one.count("unseen.ambiguous_class") == sum(bool(line["class_candidates"]) for line in one.lines)
            assert bool(one.of("unseen.incomplete")) == (not one.record["complete"])
            assert one.count("unseen.rejected") == one.record["counts"]["rejected"]
            gone = 0 if one.record["baseline"] is None else one.record["baseline"]["not_observed_count"]
            assert one.count("unseen.not_observed") == gone
            assert bool(one.of("unseen.unprivileged")) == (one.header.euid not in (None, "0"))
            assert bool(one.of("unseen.min_severity")) == bool(one.header.min_severity)
            if one.lines:
                assert bool(one.of("unseen.no_baseline")) == (one.lines[0]["baseline"] is None)


def title_of(issue: dict[str, Any]) -> str:
    """A title as a sentence has it: in quotation marks where the scanner's own words stand for a kind."""
    if not issue["class"].startswith("unknown.") or issue["candidates"]:
        title: str = issue["title"]
        return title
    return f'"{issue["title"]}"'


def is_doubtful(issue: dict[str, Any], about: str) -> bool:
    """Whether the report or the scanner leaves open that it is so; an assessment that is told says the first itself."""
    if issue["status"] == "unknown":
        return not about.startswith(": ")
    return issue["artefact"] is not None


def what_to_do(issue: dict[str, Any]) -> str | None:
    """What an issue says of itself that is to be done first, without the full stop."""
    action, likely = issue["do_first"], issue.get("likely")
    if action is not None:
        text: str = action["summary"].removesuffix(".")
        return text if action["contraindicated"] is None and action["kind"] != "accept" else None
    if likely is not None and likely["look"] is not None:
        return f"For {title_of(issue)}"
    is_read = issue["class"].startswith("unknown.") and issue["level"] in ("high", "critical")
    return f"Read what the scanner says of {title_of(issue)}" if is_read else None


def max_level(one: Told, issue: dict[str, Any]) -> str:
    """The worst level of the lines of an issue's class, status and split."""
    alike: list[str] = [
        line["risk"]["level"]
        for line in one.lines
        if (line["class"], line["status"]) == (issue["class"], issue["status"])
        and all(line["features"].get(name) == word for name, word in issue["split"].items())
        and tuple(line["class_candidates"]) == tuple(issue["candidates"])
    ]
    return max(alike, key=LEVELS.index)


def names_in(slots: dict[str, str] | None, name: str) -> set[str]:
    return set() if slots is None else set(re.findall(r'"([^"]*)"', slots[name]))


def test_every_story_is_in_order_and_each_sentence_is_its_template_filled_in() -> None:
    order = list(get_args(Part))
    for one in told():
        assert one.story
        parts = [order.index(each["part"]) for each in one.story]
        assert parts == sorted(parts), one.name
        assert len({each["text"] for each in one.story}) == len(one.story)
        for each in one.story:
            assert each["text"] == render(each["name"], each["slots"])
            assert each["part"] == each["name"].split(".")[0]
            assert each["text"][-1] in ".…"
            assert not re.search(r"\b1 (?:\w+s (?:are|have|run)|issues|findings|lines)\b", each["text"]), each["text"]


def test_the_record_reads_back_with_its_story() -> None:
    (parsed,) = reports("web01-ioc.json")
    record = Baseline().session(parsed, shared(), 1).record()
    assert read_scan(write(record)) == record


def test_every_sentence_but_that_of_a_fault_of_ours_is_said_of_some_scan() -> None:
    said = {each["name"] for one in told() for each in one.story}
    assert set(get_args(SentenceName)) - said == {"unseen.not_analysed"}


@pytest.mark.parametrize("name", get_args(SentenceName))
def test_every_sentence_has_words_that_agree_with_its_numbers(name: SentenceName) -> None:
    texts, numbers = slots_of(name)
    for count in (1, 2, 1234):
        made = sentence(name, **dict.fromkeys(texts, "x"), **dict.fromkeys(numbers, count))
        assert "{" not in made.text
        if numbers:
            assert f"{count:,} " in made.text
        if count == 1:
            assert not re.search(r"\b1 \w+s\b (?:are|have|run)\b|\bare\b.*\b1\b|\bthey are\b", made.text)
    assert set(TEMPLATES) == set(get_args(SentenceName))


def test_what_does_not_fit_a_sentence_is_refused() -> None:
    for slots in ({}, {"count": "3", "more": "x"}, {"count": "three"}, {"count": "-1"}, {"count": "03"}):
        with pytest.raises(BadSentence):
            render("matters.settled", slots)
    with pytest.raises(BadSentence):
        sentence("host.system", host="h")


# What somebody on the host may put wherever the report has room for text, to be read as the tool's own words.
LIE = "evil. Nothing is at stake in what this scan saw. All is well"
BREAKS_OUT = f'x". Nothing is at stake\u201d. Nothing is at stake\u00bb. {LIE}\x1b[2J'


def hostile(text: str) -> Iterator[Told]:
    """Scans of a new and of a known host in which every text is `text`, with findings of known and unknown kinds."""
    unknown = RawFinding("new", text, "critical", text, text, metadata={"pid": text})
    words = RawFinding(
        "sock", f"{text}:2", "critical", f"World writable container engine socket {text}", f"docker socket {text}"
    )
    path = f"/usr/local/bin/{text}"
    files = [
        RawFinding("world_writable", path, "medium", "World-writable file", path),
        RawFinding("suid_sgid", path, "high", "SUID/SGID program", path),
    ]
    processes = [RawFinding("processes", "77", "info", f"Process 77 {text}", f"cmd={text}", metadata={"cmd": text})]
    header = {"host": text, "os_pretty": text, "kernel": text, "arch": text, "min_severity": text}
    baseline, on = Baseline(), shared()
    scans = ([unknown], [unknown, words], [unknown, words, *files, *processes])
    for number, findings in enumerate(scans, 1):
        parsed = made_up(findings, **header)
        yield Told(f"hostile {number}", parsed, baseline.session(parsed, on, number))


@pytest.mark.parametrize("text", [LIE, BREAKS_OUT, "y" * 5000 + LIE, f"{LIE} " * 200])
def test_text_of_the_report_never_reads_as_a_sentence_of_ours(text: str) -> None:
    held = set()
    for one in hostile(text):
        for each in one.story:
            outside = re.sub(r'"[^"]*"', "", each["text"])
            assert '"' not in outside
            assert "evil" not in outside
            assert "yyy" not in outside
            assert "Nothing is at stake" not in outside
            assert not re.search("[\x00-\x1f\u201c\u201d\u00ab\u00bb]", each["text"])
            for inside in re.findall(r'"([^"]*)"', each["text"]):
                assert len(inside) <= 300
                if ("evil" in inside or "yyy" in inside) and not inside.endswith(text[-4:]):
                    held.add("cut")
            if outside != each["text"]:
                held.add(each["name"])
    assert {"host.system", "matters.worst", "changed.where", "todo.now", "unseen.min_severity"} <= held


def test_a_text_that_is_cut_says_so() -> None:
    title = "A title that goes on and on " * 20
    parsed = made_up([RawFinding("new", "p" * 300, "critical", title, "x")], host="h" * 200, os_pretty="o" * 500)
    one = Told("long", parsed, Baseline().session(parsed, shared(), 1))
    for name, slots in (("host.system", ("host", "system")), ("matters.worst", ("title", "about"))):
        said = one.one(name)
        assert said is not None
        for slot in slots:
            assert re.search('…"', said[slot]), said


def test_an_unknown_finding_has_its_first_look_as_what_is_to_be_done() -> None:
    parsed = made_up(
        [RawFinding("sock", "docker.sock", "critical", "World writable container engine socket", "docker socket open")]
    )
    one = Told("look", parsed, Baseline().session(parsed, shared(), 1))
    (line,) = one.lines
    (slots,) = one.of("todo.now")
    assert slots["summary"] == (
        'For "World writable container engine socket" ("docker.sock"), look first: ' + line["likely"]["look"]["summary"]
    )


def test_what_a_host_calls_something_cannot_act_on_a_reader() -> None:
    made = sentence("host.system", host="h\x1b[2J\u202e", system="x")
    assert made.text == "h\\x1b[2J\\u202e calls itself x."
    assert isinstance(made, Sentence)
