"""A bound directory is one directory, however its key and its reports' paths are written."""

from pathlib import Path

import pytest

from daemon.sources.bindings import Bindings
from pipeline.errors import ConfigError
from tests.daemon.sources.world import World, report


@pytest.fixture
def places(tmp_path: Path) -> Path:
    (tmp_path / "data" / "web-01" / "old").mkdir(parents=True)
    (tmp_path / "data" / "web-010").mkdir()
    (tmp_path / "reports").symlink_to("data")
    return tmp_path


@pytest.mark.parametrize(
    "key", ["data/web-01", "reports/web-01", "data/../data/web-01", "data//web-01/", "reports/web-01/."]
)
@pytest.mark.parametrize("path", ["data/web-01/a.json", "reports/web-01/a.json", "reports/web-01/old/a.json"])
def test_every_spelling_of_key_and_path(places: Path, key: str, path: str) -> None:
    bindings = Bindings({f"{places}/{key}": "web-01"})
    assert bindings.host_of(f"{places}/{path}") == "web-01"
    assert bindings.host_of(f"{places}/data/web-010/a.json") is None
    assert bindings.host_of(f"{places}/data/a.json") is None


def test_the_nearest_directory_counts(places: Path) -> None:
    bindings = Bindings({f"{places}/data": "all", f"{places}/reports/web-01": "web-01"})
    assert bindings.host_of(f"{places}/reports/web-01/old/a.json") == "web-01"
    assert bindings.host_of(f"{places}/data/web-010/a.json") == "all"


def test_a_report_behind_a_link_is_of_the_host_whose_directory_holds_it(places: Path) -> None:
    (places / "data" / "web-010" / "a.json").write_text("{}")
    (places / "data" / "web-01" / "a.json").symlink_to("../web-010/a.json")
    bindings = Bindings({f"{places}/data/web-01": "web-01", f"{places}/data/web-010": "web-010"})
    assert bindings.host_of(f"{places}/data/web-01/a.json") == "web-010"


def test_a_directory_that_comes_later_is_bound_then(places: Path) -> None:
    bindings = Bindings({f"{places}/data/web-02": "web-02"})
    assert list(bindings.without_effect([f"{places}/reports"])) == [
        (f"{places}/data/web-02", "there is no such directory (yet)")
    ]
    (places / "data" / "web-02").symlink_to("web-01")
    assert bindings.host_of(f"{places}/data/web-01/a.json") == "web-02"
    assert list(bindings.without_effect([f"{places}/reports"])) == []


def test_a_key_outside_of_all_roots_is_named(places: Path) -> None:
    bindings = Bindings({f"{places}/data/web-01": "web-01", str(places / "data"): "all"})
    assert list(bindings.without_effect([f"{places}/reports"])) == []
    assert [key for key, _ in bindings.without_effect([f"{places}/data/web-010"])] == [f"{places}/data/web-01"]


def test_one_directory_is_not_two_hosts(places: Path) -> None:
    with pytest.raises(ConfigError, match="one directory, bound to a and to b"):
        Bindings({f"{places}/data": "a", f"{places}/reports": "b"})
    assert Bindings({f"{places}/data": "a", f"{places}/reports": "a"}).host_of(f"{places}/data/x") == "a"


def test_a_linked_directory_outside_is_named_with_what_to_do(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "volume"
    outside.mkdir()
    (outside / "a.json").write_bytes(report("1"))
    world.path("web-01").symlink_to(outside)
    world.path(".hidden").symlink_to(outside)
    world.sweep()
    world.sweep()
    assert (world.inputs.ids, world.inputs.reasons) == ([], ["not_regular"])
