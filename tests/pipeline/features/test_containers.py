import pytest

from pipeline.features.containers import container_runtime
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

CONTEXT = FeatureContext(header=ScanHeader("json"), knowledge=Knowledge(), profile="default")


@pytest.mark.parametrize(
    ("runtime", "cgroup", "word"),
    [
        ("docker", "0::/system.slice/docker-ab.scope", "docker"),
        ("unknown", "0::/kubepods/burstable/pod1/ab", "kubernetes"),
        ("unknown", "0::/user.slice/ab.scope", "unknown"),
        ("evil\nname", None, "unknown"),
        (None, None, None),
    ],
)
def test_the_runtime_is_a_word_of_ours(runtime: str | None, cgroup: str | None, word: str | None) -> None:
    assert container_runtime(CONTEXT, runtime, cgroup) == word
