"""What was scanned once, and the page over a copy of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.review.web.served import Client, Served, copied, hostile_report, scan, served, take_in


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans of two hosts, which share situations."""
    directory = tmp_path_factory.mktemp("scanned")
    scan(directory, "web01-ioc.json")
    scan(directory, "db02-drift-1.json")
    return directory


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan in which the host chose every string."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "in").mkdir()
    (directory / "in" / "report.json").write_text(hostile_report("web01-ioc.json"))
    take_in(directory)
    return directory


@pytest.fixture
def page(scanned: Path, tmp_path: Path) -> Iterator[Served]:
    """The page over a copy of it."""
    with served(copied(scanned, tmp_path / "copy")) as one:
        yield one


@pytest.fixture
def alice(page: Served) -> Client:
    """Somebody who was let in."""
    return Client(page.where).enter()
