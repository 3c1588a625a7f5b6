import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.intel.expression import (
    Never,
    Unsupported,
    anchors,
    holds,
    like,
    normalise,
    regular_expression,
)
from pipeline.intel.match import MAX_UNANCHORED, ORDER_NOTE, Intel, load_intel, observables
from pipeline.intel.stix_pattern import PatternError, parse_pattern

NOW = "2026-11-20T12:00:00Z"
DIGEST = "ab" * 32
MINER = {"exe": "/tmp/.x/xmrig", "pid": "7"}


def indicator(pattern: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--{number:04d}", "pattern_type": "stix",
        "pattern": pattern, "valid_from": "2026-01-01T00:00:00Z", **fields,
    }  # fmt: skip


def bundle(path: Path, *objects: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)}))
    return path


def stix(tmp_path: Path, *patterns: str) -> Intel:
    return load_intel(
        [bundle(tmp_path / "feed.json", *(indicator(pattern, number) for number, pattern in enumerate(patterns)))]
    )


def hits(intel: Intel, slots: dict[str, str], metadata: dict[str, Any] | None = None, as_of: str = NOW) -> list[str]:
    return [hit.indicator for hit in intel.match(slots, metadata or {}, as_of)]


@pytest.mark.parametrize(
    ("pattern", "slots", "metadata"),
    [
        ("[file:name = 'xmrig']", MINER, {}),
        ("[file:name = 'xmrig']", {"exe": "/tmp/xmrig (deleted)"}, {}),
        ("[file:name IN ('a', 'xmrig')]", MINER, {}),
        ("[file:name LIKE 'xm%g']", MINER, {}),
        ("[file:name MATCHES '^xm.+g$']", MINER, {}),
        ("[process:name = 'xmrig']", {"exe": "/usr/bin/sleep"}, {"command": "xmrig"}),
        ("[process:command_line = '/opt/x/minerd']", {}, {"command": "/opt/x/minerd"}),
        ("[process:image_ref.name = 'xmrig']", MINER, {}),
        ("[directory:path = '/tmp/.x']", MINER, {}),
        ("[directory:path = '/opt/tools/bin/']", {"path": "/opt/tools/bin"}, {}),
        ("[file:name = 'xmrig' AND file:parent_directory_ref.path = '/tmp/.x']", MINER, {}),
        (f"[file:hashes.'SHA-256' = '{DIGEST.upper()}']", {}, {"sha256": DIGEST}),
        (f"[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' OR file:hashes.'SHA-256' = '{DIGEST}']", {},
         {"sha256": DIGEST}),
        ("[ipv4-addr:value = '198.51.100.7']", {}, {"dst_ip": "198.51.100.7"}),
        ("[ipv4-addr:value = '198.51.100.0/24']", {}, {"dst_ip": "198.51.100.7"}),
        ("[ipv4-addr:value ISSUBSET '198.51.0.0/16']", {}, {"rip": "198.51.100.7"}),
        ("[ipv6-addr:value = '2001:db8:0::1']", {}, {"dst_ip": "2001:db8::1"}),
        ("[network-traffic:dst_ref.value = '198.51.100.7' AND network-traffic:dst_port = 443]", {},
         {"dst_ip": "198.51.100.7", "dst_port": "443"}),
        ("[domain-name:value = 'C2.Example.COM']", {"domain": "c2.example.com."}, {}),
        ("[file:name = 'nothing'] OR [file:name = 'xmrig']", MINER, {}),
        ("[(file:name = 'a' OR file:name = 'xmrig') AND directory:path LIKE '/tmp/%']", MINER, {}),
        ("[file:name = 'it\\'s']", {"path": "/srv/it's"}, {}),
    ],
)  # fmt: skip
def test_a_pattern_matches_what_the_finding_shows(
    tmp_path: Path, pattern: str, slots: dict[str, str], metadata: dict[str, Any]
) -> None:
    intel = stix(tmp_path, pattern)
    assert intel.skipped == ()
    assert hits(intel, slots, metadata) == ["indicator--0000"]
    assert (
        hits(intel, {"path": "/usr/bin/ls", "exe": "/usr/bin/ls"}, {"sha256": "cd" * 32, "dst_ip": "192.0.2.1"}) == []
    )


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[file:name = 'a'] AND [file:name = 'b']", "several observations"),
        ("[file:name = 'a'] FOLLOWEDBY [file:name = 'b']", "in time"),
        ("[file:name = 'a'] WITHIN 5 SECONDS", "in time"),
        ("[file:name != 'a']", "negation"),
        ("[file:name NOT = 'a']", "negation"),
        ("[EXISTS file:name]", "EXISTS"),
        ("[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']", "no report carries"),
        ("[file:size = 7 AND file:name = 'a']", "no report carries"),
        ("[file:hashes.'SHA-256' = 'abc']", "not a SHA-256"),
        ("[ipv4-addr:value = '999.1.1.1']", "not an address"),
        ("[network-traffic:dst_port > 1000]", "on port"),
        ("[file:name MATCHES '(?=a)b']", "looks around"),
        ("[file:name MATCHES '(a{1000}){1000}']", "larger than"),
        (f"[file:name LIKE '{'a' * 600}']", "longer than"),
        ("[file:name MATCHES '(x)\\\\1']", "refers back"),
        ("[file:name MATCHES '[']", "not one for Python"),
        ("[file:name = b'YQ==']", "binary"),
    ],
)
def test_what_no_single_finding_can_decide_is_refused_with_the_reason_and_counted(
    tmp_path: Path, pattern: str, reason: str
) -> None:
    intel = stix(tmp_path, pattern, pattern, "[file:name = 'xmrig']")
    assert [entry.count for entry in intel.skipped] == [2]
    assert reason in intel.skipped[0].reason
    assert len(intel.warnings) == 1
    assert "2 not used" in intel.warnings[0] and "feed.json" in intel.warnings[0]
    assert hits(intel, MINER) == ["indicator--0002"], "its neighbours go on"


@pytest.mark.parametrize(
    "pattern",
    ["file:name = 'a'", "[file:name = 'a'", "[file:name 'a']", "[file:name = a]", "[file:name = 'a']]", "[]",
     "['a' = 'b']", "[file:name ~ 'a']", "[file:name IN 'a']", "[file:name = 'a' AND]", "[" * 100 + "file:name = 'a'"],
)  # fmt: skip
def test_a_pattern_that_is_none_is_named_with_file_and_object_and_its_neighbours_go_on(
    tmp_path: Path, pattern: str
) -> None:
    intel = stix(tmp_path, pattern, "[file:name = 'xmrig']")
    (entry,) = intel.skipped
    assert (entry.file, entry.first, entry.count) == ("feed.json", "objects[0] (indicator--0000)", 1)
    assert entry.reason.startswith("pattern: ")
    assert hits(intel, MINER) == ["indicator--0001"]


def test_validity_is_judged_as_of_the_scan_in_any_time_zone(tmp_path: Path) -> None:
    item = indicator(
        "[file:name = 'xmrig']", valid_from="2026-05-01T00:00:00.5Z", valid_until="2026-06-01T02:00:00+02:00"
    )
    intel = load_intel([bundle(tmp_path / "feed.json", item)])
    valid = {
        "2026-05-01T00:00:00Z": False, "2026-05-01T00:00:00.500Z": True, "2026-05-31T23:59:59Z": True,
        "2026-06-01T01:59:59+02:00": True, "2026-06-01T00:00:00Z": False, "2026-05-31T23:00:00-01:00": False,
    }  # fmt: skip
    assert {as_of: bool(hits(intel, MINER, as_of=as_of)) for as_of in valid} == valid
    with pytest.raises(ValueError, match="time zone"):
        intel.match(MINER, {}, "2026-05-02T00:00:00")


def test_a_wrong_clock_puts_no_indicator_out_of_force(tmp_path: Path) -> None:
    item = indicator("[file:name = 'xmrig']", valid_from="2026-05-01T00:00:00Z", valid_until="2026-06-01T00:00:00Z")
    intel = load_intel([bundle(tmp_path / "feed.json", item)])
    received = "2026-05-15T00:00:00Z"
    for claimed in ("2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", received):
        assert len(intel.match(MINER, {}, claimed, received)) == 1
    assert intel.match(MINER, {}, "2001-01-01T00:00:00Z", "2026-04-01T00:00:00Z") == ()
    assert intel.match(MINER, {}, "2026-06-02T00:00:00Z", "2026-06-03T00:00:00Z") == ()


def test_revoked_foreign_and_never_valid_indicators_are_counted_not_matched(tmp_path: Path) -> None:
    pattern = "[file:name = 'xmrig']"
    intel = load_intel(
        [
            bundle(
                tmp_path / "feed.json",
                indicator(pattern, 1, revoked=True),
                indicator("rule x {}", 2, pattern_type="yara"),
                indicator(pattern, 3, valid_until="2025-01-01T00:00:00Z"),
            )
        ]
    )
    assert hits(intel, MINER) == []
    assert sorted(entry.reason for entry in intel.skipped) == [
        "pattern_type 'yara' is not stix", "revoked", "valid_until is not after valid_from",
    ]  # fmt: skip


def test_what_an_indicator_indicates_comes_with_the_hit(tmp_path: Path) -> None:
    technique = {
        "type": "attack-pattern", "id": "attack-pattern--1", "name": "Resource Hijacking",
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1496"}],
    }  # fmt: skip
    malware = {"type": "malware", "id": "malware--1", "name": "XMRig"}
    relations = [
        {"type": "relationship", "id": f"relationship--{number}", "relationship_type": kind,
         "source_ref": "indicator--0001", "target_ref": target}
        for number, (kind, target) in enumerate(
            [("indicates", "attack-pattern--1"), ("indicates", "malware--1"), ("derived-from", "malware--2"),
             ("indicates", "malware--gone")]
        )
    ]  # fmt: skip
    item = indicator(
        "[file:name = 'xmrig']", confidence=80, name="Miner by name", indicator_types=["malicious-activity"],
        kill_chain_phases=[{"kill_chain_name": "mitre-attack", "phase_name": "impact"}],
    )  # fmt: skip
    feed = bundle(tmp_path / "feed.json", item)
    other = bundle(tmp_path / "other.json", technique, malware, *relations)
    (hit,) = load_intel([feed, other]).match(MINER, {}, NOW)
    assert hit == load_intel([other, feed]).match(MINER, {}, NOW)[0]
    assert (hit.name, hit.confidence, hit.kinds, hit.techniques, hit.phases, hit.threats) == (
        "Miner by name", 80, ("malicious-activity",), ("T1496",), ("mitre-attack/impact",), ("XMRig",),
    )  # fmt: skip
    assert (hit.strength, hit.matched) == ("name", ("file.name",))
    assert "anyone can choose" in hit.note


def test_of_two_versions_the_one_modified_last_counts(tmp_path: Path) -> None:
    old = indicator("[file:name = 'xmrig']", modified="2026-01-01T00:00:00Z")
    new = indicator("[file:name = 'other']", modified="2026-02-01T00:00:00Z")
    for objects in ((old, new), (new, old)):
        assert hits(load_intel([bundle(tmp_path / "feed.json", *objects)]), MINER) == []


def test_a_plain_list_takes_what_is_beyond_doubt_and_what_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(
        f"# miners\n{DIGEST}\n198.51.100.7\n198.51.100.0/24  # whole net\n2001:db8::1\nc2.example.com\n"
        "/tmp/.x/xmrig\n/dev/shm/\nname:xmrig\nprocess: kdevtmpfsi\nd41d8cd98f00b204e9800998ecf8427e\n"
        "module:diamorphine\ndir:/tmp/.x\n"
    )
    intel = load_intel([path])
    assert intel.num_indicators == 11
    assert intel.warnings == ("list.txt: 1 not used: MD5 and SHA-1: no report carries them (first: line 11)",)
    assert hits(intel, MINER) == ["list.txt:13", "list.txt:7", "list.txt:9"]
    assert hits(intel, {}, {"sha256": DIGEST}) == ["list.txt:2"]
    assert hits(intel, {}, {"dst_ip": "198.51.100.7"}) == ["list.txt:3", "list.txt:4"]
    assert hits(intel, {}, {"dst_ip": "2001:db8::1"}) == ["list.txt:5"]
    assert hits(intel, {"path": "/dev/shm/a"}) == ["list.txt:8"]
    assert hits(intel, {"module": "diamorphine"}) == ["list.txt:12"]
    assert hits(intel, {"comm": "kdevtmpfsi"}) == ["list.txt:10"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("xmrig", "cannot tell"),
        ("evil.sh", "cannot tell"),
        ("256.1.1.1", "cannot tell"),
        ("198.51.100.7/24", "cannot tell"),
        ("c2[.]example[.]com", "defanged"),
        ("hxxp://c2.example.com", "defanged"),
        ("sha256:abc", "not a SHA-256"),
        ("ip:nonsense", "not an address"),
        ("domain:not a domain", "not a domain"),
        ("path:relative", "not an absolute"),
        ("name:", "nothing after"),
        ("http://c2.example.com/x", "a URL"),
        ("198.51.100.7:4444", "with a port"),
        ("[2001:db8::1]:443", "with a port"),
        ("c2.example.com:443", "with a port"),
        ("domain:c2.example.com:443", "with a port"),
    ],
)
def test_a_line_that_cannot_be_told_is_named_and_the_others_are_used(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# first\n{line}\nname:xmrig\n")
    intel = load_intel([path])
    (entry,) = intel.skipped
    assert (entry.first, entry.count) == ("line 2", 1)
    assert reason in entry.reason
    assert hits(intel, MINER) == ["list.txt:3"]
    assert intel.unusable == ()


def test_comments_of_several_kinds(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("; one\n// two\n# three\nname:xmrig ; four\n198.51.100.7 # five\ncommand:sh -c a ; b\n")
    intel = load_intel([path])
    assert (intel.num_indicators, intel.skipped) == (3, ())
    assert hits(intel, {"cmdline": "sh -c a ; b"}) == ["list.txt:6"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"type": "bundle",\n  "objects": [}', "not JSON at line 2"),
        (b'{"type": "report"}', "not a STIX bundle"),
        (b"[1]", "not a STIX bundle"),
        (b'{"type": "bundle", "objects": {}}', "objects: not a list"),
        (b'{"type": "bundle", "objects": [7]}', r"not an object \(first: objects\[0\]\)"),
        (b'{"type": "bundle", "objects": [{"type": "indicator"}]}', "without an id"),
        (b'{"type": "bundle", "objects": [{"type": "indicator", "id": "i--1"}]}', r"pattern: missing.*\(i--1\)"),
        (b'{"type": "bundle", "objects": [{"type": "indicator", "id": "i--1", "pattern": "[a:b = 1]",'
         b' "valid_until": "tomorrow"}]}', "valid_until: not a time"),
        (b'{"type": "bundle", "objects": [{"type": "indicator", "id": "i--1", "pattern": "[a:b = 1]",'
         b' "confidence": 900}]}', "no report carries"),
        (b"# ok\n\xff\xfe\n", r"not UTF-8 \(first: line 2\)"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_place_and_reason_and_stops_nobody(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "feed").write_bytes(content)
    good = tmp_path / "list.txt"
    good.write_text("name:xmrig\n")
    intel = load_intel([tmp_path / "feed", good])
    (warning,) = intel.warnings
    assert re.search(message, warning), warning
    assert warning.startswith("feed: ")
    assert hits(intel, MINER) == ["list.txt:1"]


def test_a_file_of_which_nothing_is_used_is_told_from_one_with_a_few_bad_entries(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("These are our indicators.\nAsk the team.\n")
    (tmp_path / "list.txt").write_text("name:xmrig\nwhat is this\n")
    (tmp_path / "empty.txt").write_text("# none today\n")
    intel = load_intel([tmp_path])
    assert intel.unusable == ("README",)
    assert len(intel.warnings) == 2


def test_a_confidence_of_a_wrong_type_costs_the_confidence_alone(tmp_path: Path) -> None:
    intel = load_intel([bundle(tmp_path / "feed.json", indicator("[file:name = 'xmrig']", confidence="high"))])
    assert [hit.confidence for hit in intel.match(MINER, {}, NOW)] == [None]
    assert "1 used in part: confidence" in intel.warnings[0]
    assert intel.unusable == ()


def test_a_mark_of_byte_order_before_a_bundle_is_no_content(tmp_path: Path) -> None:
    path = bundle(tmp_path / "feed.json", indicator("[file:name = 'xmrig']"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(hits(load_intel([path]), MINER)) == 1


def test_what_is_kept_about_a_bad_file_does_not_grow_with_it(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"what is {number}\n" for number in range(5_000)) + "name:xmrig\n")
    intel = load_intel([path])
    assert [entry.count for entry in intel.skipped] == [5_000]
    items = [indicator(f"[file:name = 'a'] x{number}", number) for number in range(500)]
    intel = load_intel([bundle(tmp_path / "feed.json", *items)])
    assert len(intel.skipped) < 100
    assert sum(entry.count for entry in intel.skipped) == 500


def test_patterns_without_a_value_to_look_up_have_a_limit(tmp_path: Path) -> None:
    items = [indicator(f"[file:name LIKE '%{number}']", number) for number in range(MAX_UNANCHORED + 3)]
    intel = load_intel([bundle(tmp_path / "feed.json", *items, indicator("[file:name = 'xmrig']", 9_999))])
    assert intel.num_indicators == MAX_UNANCHORED + 1
    assert [entry.count for entry in intel.skipped] == [3]
    assert hits(intel, MINER) == ["indicator--9999"]


@pytest.mark.parametrize(
    ("wanted", "shown", "certain"),
    [
        ("203.0.113.7", "0000:0000:0000:0000:FFFF:0000:0771:00CB", True),
        ("203.0.113.7", "0000:0000:0000:0000:0000:FFFF:CB00:7107", True),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("203.0.113.7", "[::ffff:cb00:7107]:443", True),
        ("203.0.113.7", "203.0.113.7:51515", True),
        ("203.0.113.7", "077100CB:01BB", True),
        ("203.0.113.0/24", "0000:0000:0000:0000:FFFF:0000:0771:00CB", True),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.0/120", "203.0.113.7", True),
        ("[2001:db8::7]", "2001:DB8:0::7", True),
        ("2001:db8::7", "B80D:0120:0000:0000:0000:0000:0700:0000", True),
        ("2001:db8::7", "B80D0120000000000000000007000000", True),
        ("2001:db8::/32", "B80D:0120:0000:0000:0000:0000:0700:0000", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("fe80::1%eth0", "FE80:0000:0000:0000:0000:0000:0000:0001", True),
        ("fe80::1", "[fe80::1%2]:22", True),
        ("2a02:2021::7", "2120:022A:0000:0000:0000:0000:0700:0000", False),
        ("2120:22a::700:0", "2120:022A:0000:0000:0000:0000:0700:0000", False),
    ],
)
def test_an_address_is_what_it_stands_for(tmp_path: Path, wanted: str, shown: str, certain: bool) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"ip:{wanted}\n")
    kind = "ipv4-addr" if wanted[0].isdigit() and ":" not in wanted else "ipv6-addr"
    (tmp_path / "feed.json").write_bytes(b"")
    intel = load_intel([path, bundle(tmp_path / "feed.json", indicator(f"[{kind}:value = '{wanted}']"))])
    assert intel.skipped == ()
    for key in ("rip", "dst_ip"):
        found = intel.match({}, {key: shown}, NOW)
        assert len(found) == 2
        assert {hit.note for hit in found} == {"" if certain else ORDER_NOTE}
    assert hits(intel, {}, {"rip": "198.51.100.99"}) == []


@pytest.mark.parametrize(
    "shown", ["0.0.0.0", "::", "127.0.0.1", "::1", "::ffff:0.0.0.0", "0" * 32, "0" * 24 + "01000000"]
)
def test_no_address_and_the_host_itself_match_nothing(tmp_path: Path, shown: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text("0.0.0.0/0\n::/0\n")
    assert hits(load_intel([path]), {}, {"lip": shown}) == []


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_intel([tmp_path / "gone.json"])


def test_a_directory_is_read_in_order_of_names_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("name:xmrig\n")
    (tmp_path / "a.txt").write_text("process:xmrig\n")
    (tmp_path / ".swp").write_bytes(b"\xff")
    assert hits(load_intel([tmp_path]), MINER) == ["a.txt:1", "b.txt:1"]


def test_the_digest_changes_with_names_and_bytes_only(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
        (directory / "a.txt").write_text("name:xmrig\n")
    one = load_intel([here]).digest
    assert load_intel([there]).digest == one
    (there / "a.txt").write_text("name:xmrig\n# note\n")
    assert load_intel([there]).digest != one


@pytest.mark.parametrize("value", ["(disabled)", "", DIGEST[:32], DIGEST + "0", "(partial) " + DIGEST, None, 7])
def test_a_hash_that_is_none_never_matches(tmp_path: Path, value: Any) -> None:
    (tmp_path / "list.txt").write_text(f"{DIGEST}\nname:(disabled)\n")
    intel = load_intel([tmp_path])
    assert hits(intel, {}, {"sha256": value}) == []


def test_a_hash_match_says_what_the_scanner_hashed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{DIGEST}\n")
    (hit,) = load_intel([tmp_path]).match({}, {"sha256": DIGEST}, NOW)
    assert (hit.strength, "128 KiB" in hit.note) == ("hash", True)


def test_hits_do_not_depend_on_the_order_of_slots(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("name:xmrig\ndir:/tmp/.x\nprocess:xmrig\nname:y\n")
    slots = {"exe": "/tmp/.x/xmrig", "path": "/srv/y", "command": "xmrig"}
    intel = load_intel([tmp_path])
    forward = intel.match(slots, {}, NOW)
    assert (
        forward == intel.match(dict(reversed(slots.items())), {}, NOW) == load_intel([tmp_path]).match(slots, {}, NOW)
    )
    assert len(forward) == 4


def test_without_indicators_nothing_is_asked_of_the_time() -> None:
    assert load_intel([]).match(MINER, {}, "no time") == ()


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    intel = stix(tmp_path, "[domain-name:value = 'c2.example.com' OR url:value = 'http://c2.example.com/']")
    assert hits(intel, {"domain": "c2.example.com"}) == ["indicator--0000"]


def test_every_value_of_a_long_list_is_found_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{number:064x}\n" for number in range(0, 40_000, 2)))
    intel = load_intel([path])
    assert intel.num_indicators == 20_000
    for number in range(0, 200):
        found = hits(intel, {}, {"sha256": f"{number:064x}"})
        assert found == ([f"list.txt:{number // 2 + 1}"] if number % 2 == 0 else [])


@given(st.text("ab%_", max_size=8), st.text("ab", max_size=8))
def test_like_means_what_the_slow_obvious_version_says(pattern: str, value: str) -> None:
    def slow(p: str, v: str) -> bool:
        if not p:
            return not v
        if p[0] == "%":
            return slow(p[1:], v) or (bool(v) and slow(p, v[1:]))
        return bool(v) and (p[0] in ("_", v[0])) and slow(p[1:], v[1:])

    assert like(pattern)(value) == slow(pattern, value)


@given(st.text("[]()='ab:.ORANDIfilename ,!<", max_size=60))
def test_any_text_is_a_pattern_or_refused_by_name(text: str) -> None:
    try:
        parse_pattern(text)
    except (PatternError, Unsupported) as error:
        assert str(error)


LEAVES = st.sampled_from(["file:name = 'a'", "file:name = 'b'", "process:name = 'a'", "file:name LIKE 'a%'"])
TESTS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
)


@given(
    TESTS,
    st.fixed_dictionaries({"file.name": st.sampled_from(["a", "b", "ax"]), "process.name": st.sampled_from("ab")}),
)
def test_an_index_by_anchors_loses_no_match(test: str, shown: dict[str, str]) -> None:
    expression = parse_pattern(f"[{test}]")
    seen = {kind: (value,) for kind, value in shown.items()}
    leaves = anchors(expression)
    if holds(expression, seen) is not None and leaves is not None:
        assert any(leaf.value in seen.get(leaf.kind, ()) for leaf in leaves)


@given(
    st.dictionaries(
        st.sampled_from(["path", "exe", "command", "dst_ip", "sha256", "module", "domain"]), st.text(max_size=30)
    )
)
def test_any_slots_can_be_looked_at(slots: dict[str, str]) -> None:
    assert all(isinstance(value, str) for values in observables(slots, slots).values() for value in values)


def test_regular_expressions_look_at_a_bounded_part_only() -> None:
    assert regular_expression("x")("a" * 511 + "x")
    assert not regular_expression("x")("a" * 512 + "x")


def test_a_value_that_cannot_be_is_never() -> None:
    assert isinstance(normalise("file.sha256", "xyz"), Never)
