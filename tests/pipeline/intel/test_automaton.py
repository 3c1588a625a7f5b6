"""The automaton finds what Python's own matcher finds, and its work grows with the text alone."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.intel.automaton import Automaton, NotRegular

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        ".",
        "[ab]",
        "[^a]",
        r"\d",
        r"\w",
        r"\s",
        r"\.",
        "1",
        " ",
        r"\x61",
        "[]a]",
        r"[\]b]",
        "\n",
        "-",
        "é",
    ]
)
PLACES = st.sampled_from(["^", "$", r"\b", r"\B", r"\A", r"\Z"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{,2}", "*?", "+?", "{1,3}?"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.one_of(
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"(?:{text})"),
        inner.map(lambda text: f"(?i:{text})"),
    )
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(group, REPEATS).map("".join),
        st.tuples(inner, PLACES).map("".join),
        st.tuples(PLACES, inner).map("".join),
    )


PATTERNS = st.recursive(st.one_of(ATOMS, st.tuples(ATOMS, REPEATS).map("".join)), grown, max_leaves=6)


@given(PATTERNS, st.text("aAbc1 .\n-é]", max_size=7), st.sampled_from(["", "(?i)", "(?m)", "(?a)"]))
def test_it_agrees_with_python(pattern: str, text: str, flags: str) -> None:
    assume(text or r"\B" not in pattern)  # which Python has matched in an empty text from 3.14 on only
    try:
        expected = re.compile(flags + pattern, re.DOTALL)
    except re.error:
        with pytest.raises(NotRegular):
            Automaton(flags + pattern)
        return
    assert Automaton(flags + pattern).search(text) is (expected.search(text) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/(?:tmp|var/tmp|dev/shm)/\.[^/]+$", r"(?i)\.(?:php|jsp)\d?$", r"^.*evil.*\.so(?:\.\d+)*$", r"\bnc\b.*-e",
        r"[0-9a-f]{32}", r"a{2,}b", r"x{,3}y", "", "|a", "(a|)", "()*b", r"(?P<name>a+)b", "a{", "a{x}",
        r"\u0041",
        r"[\w.-]+@[\w.-]+", r"$^", r"(?:(?:a|b)*c)*d",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        "/tmp/.x", "/var/tmp/.hidden", "/srv/a.PHP5", "/lib/evil-x.so.1.2", "nc -l -e", "0" * 40, "aab", "y", "", "A",
        "a{x}", "acbcd", "x@y.z",
    ],
)  # fmt: skip
def test_patterns_of_feeds(pattern: str, text: str) -> None:
    expected = re.compile(pattern, re.DOTALL).search(text) is not None
    assert Automaton(pattern).search(text) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        ".{0,300}" * 6 + "!",
        "(?:a?){200}" + "a" * 200 + "!",
        "(a|a)*!",
        "(a|ab|aba)*!",
        "(a*)*!",
        "(?:a+)+!",
        ".*a.*a.*a.*!",
        "(?:.*a){12}!",
        "a?" * 300 + "a" * 300 + "!",
        "(?:(?:a|b){0,20}c?){0,20}!",
        r"^(?:\w+\s?)*!$",
        "(?:a|b)*a(?:a|b){14}!",
    ],
)
@pytest.mark.parametrize("filler", ["a", "ab", "a b "])
def test_the_work_grows_with_the_text(pattern: str, filler: str) -> None:
    costs = []
    for length in (256, 512):
        automaton = Automaton(pattern)
        assert not automaton.search((filler * length)[:length])
        assert automaton.work <= 2 * automaton.num_states * (length + 1)
        costs.append(automaton.work)
    assert costs[1] <= 2.2 * costs[0] + 2 * automaton.num_states


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "refers back"),
        (r"(?P<x>a)(?P=x)", "refers back"),
        ("(?=a)b", "looks around"),
        ("(?<!a)b", "looks around"),
        ("(?>a*)b", "looks around"),
        ("a*+b", "possessive"),
        (r"(a)?(?(1)b|c)", "refers back"),
        ("(?:a{1000}){1000}", "larger than"),
        ("a{5000}", "larger than"),
        ("a{0,999999}", "larger than"),
        ("(" * 60 + "a" + ")" * 60, "nested deeper"),
        ("(a", "not one for Python"),
        ("[a", "not one for Python"),
        ("*", "not one for Python"),
        ("a{99999999999999999999}", "not one for Python"),
        ("(?x) a b", "not supported"),
    ],
)
def test_what_cannot_be_followed_is_refused_and_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(NotRegular, match=reason):
        Automaton(pattern)
