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
from tests.pipeline.sessions import Baseline, corpus, documents, lines_of, made_up, record_of, reports, resources

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
    baseline, on = Baseline(), resources()
    unknown = RawFinding("new", "x:1", "high", "Something new", "x")
    units = [one for one in reports("web01-base-full.json.gz")[0].findings if one.scanner == "systemd_units"][:400]
    listeners = [
        RawFinding(
            "network", f"tcp:{port}:4242", "high", f"tcp LISTEN {port}", "TCP socket",
            metadata={"protocol": "tcp", "state": "LISTEN", "lport": port, "lip": address, "inode": "4242"},
        )
        for port, address in (("80", "0.0.0.0"), ("443", "0.0.0.0"), ("25", "127.0.0.1"))
    ]  # fmt: skip
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
                assert said == {"host": one.header.host, "system": ", ".join(claims)}

    def test_what_the_host_is_like_is_counted_from_its_findings(self) -> None:
        for one in told():
            inventory = [line for line in one.lines if line["class"] == "processes.inventory"]
            assert one.count("host.containers") == sum("container" in line["slots"] for line in inventory)
            units = {
                line["slots"]["unit"]
                for line in one.lines
                if line["finding"]["scanner"] == "systemd_units" and line["features"].get("role") == "server"
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
                assert slots["title"] == issue["title"]
                assert slots["level"] == max_level(one, issue)
                assert all(label[:60] in slots["about"] for label in issue["labels"][:4] if len(label) < 80)
                more = re.search(r" and ([0-9,]+) more\)$", slots["about"])
                shown = min(4, len([label for label in issue["labels"] if label]))
                assert (int(more[1].replace(",", "")) if more else 0) == (issue["distinct"] - shown if shown else 0)

    def test_mistakes_and_what_is_settled_are_counted(self) -> None:
        for one in told():
            mistakes = [line for line in one.lines if (line["artefact"] or {}).get("degree") in ("certain", "likely")]
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
                    sum(name in [group["group"] for group in line["correlations"]] for line in one.lines)
                    for name, group in groups.items()
                    if group["title"] == said["title"]
                ]
                assert int(said["count"]) in sizes
            reasons = {group["why"] for group in groups.values()}
            assert all(said["why"] in reasons for said in one.of("together.why"))
            shared = [
                line for line in one.lines
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
            if one.of("changed.all_new"):
                assert set(states) == {"new"}
                assert not gone
            if one.of("changed.nothing"):
                assert not states.keys() - {"recurring", "resolved"}
                assert not gone
            for slots in one.of("changed.where"):
                fresh = {line["class"] for line in one.lines if (line["baseline"] or {}).get("state") == "new"}
                titles = {issue["title"]: issue for issue in one.record["issues"] if "new" in issue["baseline"]}
                assert titles[slots["title"]]["class"] in fresh

    def test_what_is_to_be_done_is_offered_and_harmless(self) -> None:
        for one in told():
            offered = {
                action["summary"]: line["risk"]["level"]
                for line in sorted(one.lines, key=lambda line: LEVELS.index(line["risk"]["level"]))
                for action in line["remediation"]
                if action["contraindicated"] is None and line["status"] in AT_STAKE
            }
            urgent = [issue for issue in one.record["issues"] if issue["level"] in ("high", "critical")]
            for slots in [*one.of("todo.act"), *one.of("todo.later")]:
                assert slots["summary"].removesuffix(".") in {text.removesuffix(".") for text in offered}
            assert not (one.of("todo.act") and not urgent)
            assert bool(one.of("todo.no_hurry")) == bool(one.record["issues"] and not urgent)
            assert not (one.of("todo.later") and urgent)
            firsts = {group["first"] for group in one.record["correlations"] if group["level"] in ("high", "critical")}
            assert {slots["first"] for slots in one.of("todo.first")} <= firsts
            assert one.count("todo.expired") == len(one.record["policy"]["expired"])

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
    if slots is None:
        return set()
    return set(re.sub(r" and [0-9,]+ more$", "", slots[name]).split(", "))


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
    record = Baseline().session(parsed, resources(), 1).record()
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


def test_what_a_host_calls_something_cannot_act_on_a_reader() -> None:
    made = sentence("host.system", host="h\x1b[2J\u202e", system="x")
    assert made.text == "h\\x1b[2J\\u202e calls itself x."
    assert isinstance(made, Sentence)
