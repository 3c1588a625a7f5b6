"""What a row of the outbox is as a record: the host is found without reading the line, and never another one."""

from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.records import host_of

KEY = "0123456789abcdef" * 2


def row(line: dict[str, Any], kind: Literal["finding", "scan", "verdict"] = "finding") -> OutboxRow:
    return OutboxRow(1, kind, KEY, "info", True, orjson.dumps(line, option=orjson.OPT_SORT_KEYS))


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.recursive(
        st.text(max_size=9) | st.none() | st.just(KEY),
        lambda inner: st.dictionaries(st.sampled_from(["fingerprint", "host", "a", "z"]) | st.text(max_size=3), inner),
        max_leaves=8,
    ),
)
def test_the_host_is_that_of_the_line_whatever_else_it_holds(host: str, inner: Any) -> None:
    for kind in ("finding", "scan", "verdict"):
        line = {"finding": inner, "fingerprint": KEY, "host": host, "slots": inner}
        assert host_of(row(line, kind)) == host.encode()


@pytest.mark.parametrize("where", ["finding", "slots"])
def test_what_looks_the_same_inside_of_a_line_is_not_taken_for_it(where: str) -> None:
    forged = {"fingerprint": KEY, "host": "another"}
    assert host_of(row({"finding": {}, "fingerprint": KEY, "host": "h", where: forged})) == b"h"
    assert host_of(row({"finding": {}, "fingerprint": KEY, "host": 'h","host":"x', where: forged})) == b'h","host":"x'
