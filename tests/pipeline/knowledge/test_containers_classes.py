import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.real_scans import classified, names
from tests.pipeline.knowledge.what_is_said import artefacts, classify, remediations, text, topics


def container(runtime: str, cgroup: str) -> RawFinding:
    return RawFinding(
        "containers", "container:c5d6e73f4e8a", "info", "Container detected c5d6e73f4e8a",
        "Container runtime context", metadata={"runtime": runtime, "pid": "621", "cgroup": cgroup},
    )  # fmt: skip


def test_every_finding_of_the_real_reports_is_inventory() -> None:
    seen = [(raw, found) for name in names("json") for raw, found in classified(name, "containers")]
    assert sorted(found.class_id for _, found in seen) == ["containers.container"] * 3 + ["containers.none"] * 2
    for raw, found in seen:
        assert (found.status, found.status_basis) == ("info", "class")
        if found.class_id == "containers.container":
            assert raw.id == f"container:{found.slots['container_id']}"
            assert found.features == {"runtime": raw.metadata["runtime"]}
            assert raw.metadata["runtime"] in text(found)[0]


def test_ndjson_restores_title_and_description() -> None:
    ((twin, other),) = classified("web01-base-full.json.gz", "containers")
    ((_, found),) = classified("web01-base-full.ndjson.gz", "containers")
    assert found.class_id == other.class_id == "containers.none"
    assert (found.title, found.description, found.fingerprint) == (twin.title, twin.description, other.fingerprint)
    bare = classify(RawFinding("containers", "container:c5d6e73f4e8a", "info"), ScanHeader("ndjson"))
    assert bare.title == "Container detected c5d6e73f4e8a"
    assert "does not say under which runtime" in text(bare, ScanHeader("ndjson"))[0]


def test_a_pod_is_not_of_unknown_runtime() -> None:
    found = classify(container("unknown", "0::/kubepods/burstable/pod7/c5d6e73f4e8a"))
    assert found.features == {"runtime": "kubernetes"}
    assert artefacts(found) == {}


def test_a_long_number_without_a_runtime_is_probably_no_container() -> None:
    found = classify(container("unknown", "0::/user.slice/c5d6e73f4e8ac5d6e73f4e8ac5d6e73f4e8a.scope"))
    assert artefacts(found) == {"containers.long_hex_name": "likely"}
    assert remediations(found) == [("container.review", {"container_id": "c5d6e73f4e8a"})]


def test_kubernetes_without_an_id_is_one_entry_for_the_node() -> None:
    raw = RawFinding(
        "containers", "container:kubepods", "info", "Container detected kubepods", "Container runtime context",
        metadata={"runtime": "kube", "pid": "1", "cgroup": "0::/kubepods"},
    )  # fmt: skip
    found = classify(raw)
    assert (found.class_id, found.status, topics(found)) == ("containers.kubepods", "info", ["container.detected"])
    assert "node" in text(found)[1]


@pytest.mark.parametrize("id_", ["container:c5d6e73f4e8a\n", "container:c5d6", "container:none "])
def test_ids_are_matched_whole(id_: str) -> None:
    found = classify(RawFinding("containers", id_, "info"), ScanHeader("ndjson"))
    assert found.class_id == "unknown.containers"
