"""A page that an auditor can be given: what it says is counted anew from the lines, and no name is more than a name."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.output.formats.htmlpage import audit
from pipeline.output.formats.htmlpage.page import html
from pipeline.output.formats.scan import Past, Scan
from pipeline.output.records import EnrichedFinding
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some

VOID = {"meta", "br", "hr", "rect"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "h4", "p", "section", "nav",
    "ul", "li", "dl", "div", "dt", "dd", "main", "article", "span", "strong", "pre", "code", "details", "summary", "q",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "time", "svg", "rect",
}  # fmt: skip
ADDRESSES = {"href", "src", "action", "srcset", "data", "poster", "background"}


class Page(HTMLParser):
    """What stands in a page: which elements, which ids and links, and the text in each kind of element."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.seen: Counter[str] = Counter()
        self.texts: list[tuple[str, str]] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        self.seen[tag] += 1
        given = dict(attrs)
        assert len(given) == len(attrs) and not any(name.startswith("on") for name in given)
        assert not (ADDRESSES - {"href"}) & given.keys()
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[str]:
        return [said for one, said in self.texts if one == tag]


def page(*scans: Scan) -> Page:
    made = Page(text(*scans))
    assert len(set(made.ids)) == len(made.ids)
    assert all(link.startswith("#") and link[1:] in made.ids for link in made.links)
    return made


def text(*scans: Scan) -> str:
    return b"".join(html(scans)).decode()


def at_stake(scan: Scan) -> Iterator[EnrichedFinding]:
    return (one for one in scan.findings() if one.status in ("open", "unknown", "error"))


@pytest.mark.parametrize("name", [name for name, _ in real_scans()])
def test_every_real_scan_makes_a_sound_page_with_the_numbers_of_its_lines(name: str) -> None:
    scan = real_scan(name)
    made = page(scan)
    levels = Counter(finding.risk.level for finding in at_stake(scan))
    numbers = [f"{levels[level]:,}" for level in ("critical", "high", "medium", "low")]
    assert made.of("dd")[:4] == numbers
    # Each finding at stake is counted in exactly one article.
    counted = re.findall(r'<p class="small">([\d,]+) findings?: ', text(scan).split(">At stake</h3>")[1])
    assert sum(int(count.replace(",", "")) for count in counted) == sum(levels.values())
    failing = {
        (control.framework, control.control)
        for finding in scan.findings()
        for control in finding.compliance
        if control.evidence == "failing" and control.caution is None
    }
    rows = [said for tag, said in made.texts if tag == "strong" and said == "failing"]
    assert len(rows) == len(failing)


def test_what_the_numbers_of_articles_leave_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [replace(some(), slots={"path": f"/opt/{number}"}) for number in range(12)]
    made = page(scan_of(findings))
    assert any("/opt/0, /opt/1, /opt/2, /opt/3, /opt/4, and 7 more" in said for said in made.of("p"))
    assert any(said.endswith("/opt/11") for said in made.of("td"))


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_makes_a_sound_page(finding: EnrichedFinding) -> None:
    page(scan_of([finding, replace(finding, dedupe_key="b" * 32)]))


@given(st.text(st.sampled_from("<>&\"'/=! abconerrimgscipt:\u202e\x00\x1b\ud800"), max_size=60))
def test_no_text_is_more_than_a_text(hostile: str) -> None:
    finding = some()
    analysis = replace(finding.analysis, assessment=f"a {hostile}", impact=f"b {hostile}")
    finding = replace(
        finding, host=f"h{hostile}", class_=f"c{hostile}", slots={"path": f"/{hostile}"}, analysis=analysis
    )
    one, other = page(scan_of([finding])), page(scan_of([some()]))
    assert {tag: count for tag, count in one.seen.items() if tag != "br"} == other.seen


def test_nothing_is_fetched_and_no_script_may_run() -> None:
    document = text(real_scan("web01-ioc.json"))
    assert "default-src &#x27;none&#x27;" in document and "<script" not in document
    assert not re.search(r"(?i)(url\(|@import|https?://)", document.split("</style>")[0])


def test_earlier_scans_of_a_host_are_its_past_and_not_told_whole() -> None:
    scan = real_scan("db02-default.json")
    assert scan.record is not None
    earlier = replace(scan.record, scan_id="e" * 32, as_of="2025-01-01T00:00:00Z")
    first = Scan("e" * 32, scan.host, earlier, scan.findings)
    older = Past("0" * 32, "2024-06-01T00:00:00Z", {"critical": 4})
    latest = replace(scan, history=lambda: (older,))
    document = text(latest, first)
    made = page(latest, first)
    times = made.of("time")
    assert made.seen["svg"] == 1 and times.count("2025-01-01T00:00:00Z") == times.count(older.at) == 1
    assert made.of("h1") == ["Security findings of db02"] and made.of("h2") == []
    assert len(re.findall(r'<rect [^>]*class="critical">', document)) == 1


def test_several_hosts_stand_side_by_side_the_worst_first() -> None:
    scans = [real_scan(name) for name in ("db02-default.json", "web01-ioc.json")]
    made = page(*scans)
    assert made.of("h2") == ["Hosts side by side, worst first", "web01", "db02"]
    assert made.of("h1") == ["Security findings of 2 hosts"]


def test_two_scopes_of_one_host_are_told_apart() -> None:
    scan = real_scan("db02-default.json")
    assert scan.record is not None
    other = Scan("f" * 32, scan.host, replace(scan.record, scan_id="f" * 32, profile="1" * 32), scan.findings)
    assert "db02, scope 11111111" in page(scan, other).of("h2")


def test_a_list_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = real_scan("db02-default.json")
    for module in (audit, __import__("pipeline.output.formats.htmlpage.page", fromlist=["page"])):
        monkeypatch.setattr(module, "MOST_LISTED", 3)
    said = text(scan)
    assert "Not listed, so that this page can be opened: " in said and "export --format csv" in said
    listed = re.findall(r'<td data-label="About"><strong>([\d,]+): </strong>', said)
    assert sum(int(count) for count in listed) <= 3


def test_an_accepted_risk_is_named_with_its_owner_and_its_last_day() -> None:
    made = page(scan_of([accepted(some()), some()]))
    for said in ("ops", "2027-01-31", "replaced in January", "policy or report"):
        assert said in made.of("td")


def test_what_is_not_to_be_done_is_no_first_thing_and_has_no_command() -> None:
    finding = some()
    action = replace(finding.remediation[0], contraindicated="it would lock everybody out", command=None)
    finding = replace(finding, remediation=(action,), analysis=replace(finding.analysis, action=action.id))
    made = page(scan_of([finding]))
    assert "Nothing that can be named." in made.of("p")
    assert any("it would lock everybody out" in said for said in made.of("p"))


def test_the_page_of_a_full_scan_is_small_enough_to_hand_on() -> None:
    assert len(text(real_scan("db02-full.json.gz"))) < 3_000_000
