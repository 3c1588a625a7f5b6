"""Filing entries changes nothing but the work: the plain loop over all of them decides the same."""

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from pipeline.finding import Classified
from pipeline.rules.policy import Allow, Policy
from pipeline.rules.selectors import Selectors

FINDING = Classified(
    class_id="suid_sgid.file", candidates=(), scanner="suid_sgid", slots={}, features={}, status="open",
    status_basis="class", title="", description="", metadata={}, restored=(), fingerprint="", content="", situation="",
)  # fmt: skip
PATTERNS = st.sampled_from(["a", "ab", "a*", "*b", "?b", "*", "ab[", "/opt/a", "/opt/*", "/opt/?", "b.*", ""])
VALUES = st.sampled_from(["a", "ab", "b", "abb", "ab[", "/opt/a", "/opt/b", "b.c", ""])
PREFIXES = st.sampled_from(["0" * 8, "0" * 9, "0" * 8 + "1" * 8, "f" * 8])
FINGERPRINTS = st.sampled_from(["0" * 32, "0" * 8 + "1" * 24, "f" * 32])
ENTRIES = st.builds(
    lambda class_, fingerprint, host, slots, year: Allow.model_construct(
        class_=class_ or None, fingerprint=fingerprint, host=host or None, slots=slots, owner="o", reason="r",
        expires=date(year, 1, 1), status="accepted",
    ),
    PATTERNS, st.none() | PREFIXES, PATTERNS, st.dictionaries(st.sampled_from(["path", "unit"]), PATTERNS, max_size=2),
    st.sampled_from([2020, 2030]),
)  # fmt: skip
FINDINGS = st.builds(
    lambda class_, fingerprint, slots: replace(FINDING, class_id=class_, fingerprint=fingerprint, slots=slots),
    VALUES, FINGERPRINTS, st.dictionaries(st.sampled_from(["path", "unit", "pid"]), VALUES, max_size=3),
)  # fmt: skip


@given(st.lists(ENTRIES, max_size=12), FINDINGS, VALUES)
def test_it_finds_what_the_plain_loop_finds(entries: list[Allow], finding: Classified, host: str) -> None:
    def holds(entry: Allow) -> bool:
        return entry.expires.year > 2025

    plain = next((entry for entry in entries if holds(entry) and entry.selects(host, finding)), None)
    assert Selectors(entries).first(host, finding, holds) is plain


def test_thousands_of_entries_are_not_tried_one_by_one() -> None:
    def entry(number: int) -> dict[str, object]:
        kinds = (
            {"class": "suid_sgid.*", "slots": {"path": f"/opt/app-{number}/bin/tool"}},
            {"class": "suid_sgid.file", "slots": {"path": f"/srv/{number}/*"}},
            {"fingerprint": f"{number:08x}"},
            {"class": "suid_sgid.file", "host": f"web-{number}"},
        )
        return {**kinds[number % 4], "owner": "o", "reason": "r", "expires": "2030-01-01"}

    policy = Policy(allow=[Allow.model_validate(entry(number)) for number in range(2_000)])
    for number in range(2_000):
        finding = replace(FINDING, slots={"path": f"/opt/app-{number}/bin/tool"}, fingerprint="f" * 32)
        found = policy.suppression("db-1", finding, "2026-01-01T00:00:00Z")
        assert (found is not None) is (number % 4 == 0)
    assert policy._allow_by.tried < 4_000
