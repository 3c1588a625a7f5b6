"""Reading hostile text takes work in proportion to its size: calls and bytes are counted, never time."""

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import pipeline.report.load as load_module
from pipeline.errors import ReportError
from pipeline.report.lexer import pick_marker
from pipeline.report.limits import Limits
from pipeline.report.read import read_document

LIMITS = Limits(max_findings=1_000_000, max_rejects=100_000)
META = b'{"type":"meta","hostname":"vm"}\n'
BAD = b'"x":"\xff"'  # sends the document to the tolerant parser


def finding(metadata: bytes) -> bytes:
    return b'{"results":[{"scanner":"s","findings":[{"id":"1","severity":"low","metadata":{%s}}]}]}' % metadata


def numbered(pattern: bytes, count: int) -> bytes:
    return b",".join(pattern % number for number in range(count))


TEXTS: dict[str, Callable[[int], bytes]] = {
    "depth": lambda n: finding(b'"a":' + b"[" * n + b"]" * n),
    "long strings": lambda n: finding(b'"a":"' + b"x" * 9 * n + b'\xff"'),
    "escapes": lambda n: finding(b'"a":"' + b"\\ud800" * n + b'"'),
    "backslashes": lambda n: finding(b'"a":"' + b"\\\\" * n + b'\xff"'),
    "quotes": lambda n: finding(b"") + b'"' * n,
    "many below a long key": lambda n: finding(b'"%s":{%s,%s}' % (b"k" * 9 * n, numbered(b'"%d":"\xff"', n), BAD)),
    "many in a list below a long key": lambda n: finding(b'"%s":[%s]' % (b"k" * 9 * n, numbered(b'"%d\xff"', n))),
    "a key again and again": lambda n: finding(numbered(b'"a":%d', n)),
    "numbers": lambda n: finding(b'"a":[' + numbered(b"1%030d", n) + b"]"),
    "not numbers": lambda n: finding(b'"a":[' + b",".join([b"NaN"] * n) + b"]"),
    "lines": lambda n: META + b'{"type":"finding","scanner":"s","id":"1","severity":"low"}\n' * n,
    "bad lines": lambda n: META + b'{"type":"finding"}\n' * n,
    "blank lines": lambda n: META + b"\n" * n,
    "log lines": lambda n: finding(b"") + b"\n[INFO ] \n" * n,
    "sections": lambda n: b'{"results":[' + b",".join([b'{"scanner":"s","findings":[]}'] * n) + b"]}",
    "bad sections": lambda n: b'{"results":[' + b",".join([b"1"] * n) + b"]}",
    "runs": lambda n: b'{"runs":[' + b",".join([b'{"tool":{"driver":{"name":"x"}},"results":[]}'] * n) + b"]}",
    "bad runs": lambda n: b'{"runs":[' + b",".join([b"1"] * n) + b',{"results":[]}]}',
    "rules": lambda n: (
        b'{"runs":[{"tool":{"driver":{"name":"x","rules":[%s]}},"results":[%s]}]}'
        % (numbered(b'{"id":"R%d"}', n), numbered(b'{"ruleId":"R%d","message":{"text":"a"}}', n))
    ),
    "objects in one line": lambda n: finding(b"") + b"{}" * n,
    "objects line by line": lambda n: finding(b"") + b"\n{}" * n,
    "cut documents": lambda n: b'{"results":\n' * n,
    "documents that look damaged": lambda n: b'{\n  "meta": {\n    "a": "\\\\"\n  }\n}\n' * n,
    "zero bytes": lambda n: finding(b"") + b"\0" * 9 * n + finding(b""),
    "marks": lambda n: b"\xef\xbb\xbf" * n + finding(b""),
    "an unterminated string": lambda n: b'{"results":["' + b'\\"' * n,
}


def work(raw: bytes) -> tuple[int, int]:
    """Read `raw`; give the calls that took, and the most bytes that were held."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        read_document(raw, LIMITS, final=True)
    except ReportError:
        pass
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return calls, peak


@pytest.mark.parametrize("name", TEXTS)
def test_twice_the_size_is_twice_the_work(name: str) -> None:
    text = TEXTS[name]
    read_document(finding(b""), LIMITS)  # what is made once and kept
    (calls, held), (more_calls, more_held) = work(text(1_000)), work(text(2_000))
    assert more_calls < 2.1 * calls + 100
    assert more_held < 2.1 * held + 100_000


def test_repeated_keys_that_are_nested_are_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    class Counting:
        loads = staticmethod(json.loads)

        @staticmethod
        def dumps(value: Any, **options: Any) -> str:
            nonlocal written
            text = json.dumps(value, **options)
            written += len(text)
            return text

    monkeypatch.setattr(load_module, "json", Counting)
    raw = finding(b'"a":' + b'{"a":1,"a":' * 50 + b"2" + b"}" * 50)
    document = read_document(raw, LIMITS)
    assert [reject.reason for reject in document.reports[0].rejects] == ["duplicate_key"]
    assert 0 < written < 64 * 3 * len(raw)


def test_the_marker_is_chosen_in_one_pass() -> None:
    searches = 0

    class Text(bytes):
        def __contains__(self, other: Any) -> bool:
            nonlocal searches
            searches += 1
            return super().__contains__(other)

        def lower(self) -> "Text":
            return Text(super().lower())

    every = [chr(code) for code in range(0xE000, 0xF900)]
    for taken in ("".join(every), "".join(f"\\u{ord(one):04X}" for one in every)):
        text = Text(b"\xef" * 1000 + taken.encode())
        with pytest.raises(ReportError, match="private-use"):
            pick_marker(text)
    assert searches == 0
    assert pick_marker(Text("".join(every[:-1]).encode())) == every[-1]
    assert pick_marker(Text(("".join(every[1:])).encode())) == every[0]


def test_log_lines_that_never_end_are_refused() -> None:
    with pytest.raises(ReportError, match=r"limits\.max_rejects"):
        read_document(finding(b"") + b"\n[INFO ] x" * 11, Limits(max_rejects=10))
