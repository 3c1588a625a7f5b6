"""No feature of modules, integrity, traces or scanner errors ever says a word that the host's owner chose."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.exec_trace import address_scope, in_container, port_range, process_owner, program_kind
from pipeline.features.integrity import ima_state, mismatch_sample, package_deviation, package_place, package_tool
from pipeline.features.modules import module_evidence, module_family, module_name, module_reading, module_tree
from pipeline.features.registry import FeatureContext
from pipeline.features.scanner_error import error_cause, known_scanner
from pipeline.finding import ScanHeader
from tests.pipeline.knowledge.corpus import knowledge

_CONTEXT = FeatureContext(header=ScanHeader(source_format="json"), knowledge=knowledge(), profile="default")
_ONE = (
    address_scope, error_cause, in_container, known_scanner, module_family, module_name, module_tree,
    package_deviation, package_place, package_tool, port_range, process_owner, program_kind,
)  # fmt: skip
_TWO = (ima_state, mismatch_sample)
_STRANGER = "Zq9\u00b6<|x|>"  # in every input, in no word of ours
_TEXT = st.builds(
    lambda before, after: before + _STRANGER + after,
    st.sampled_from(
        ["", "missing     /etc/", "S.5....T.  c /", "dpkg: ", "/usr/bin/", "kernel/fs/", "8", "root", "::"]
    ),
    st.text(max_size=20),
)
_WORD = re.compile(r"[a-z0-9_+]+")


def _is_closed(word: str | None) -> bool:
    return word is None or (_WORD.fullmatch(word) is not None and "zq9" not in word)


@given(_TEXT)
def test_features_of_one_value(value: str) -> None:
    for function in _ONE:
        assert _is_closed(function(_CONTEXT, value)), function.__name__
        assert function(_CONTEXT, None) is None, function.__name__


@given(_TEXT, _TEXT)
def test_features_of_two_values(first: str, second: str) -> None:
    for function in _TWO:
        assert _is_closed(function(_CONTEXT, first, second)), function.__name__


@given(_TEXT, st.none() | _TEXT, st.lists(st.none() | _TEXT, min_size=7, max_size=7))
def test_features_of_module_anomalies(module: str, path: str | None, flags: list[str | None]) -> None:
    assert _is_closed(module_evidence(_CONTEXT, *flags))
    assert _is_closed(module_reading(_CONTEXT, module, path, *flags))
