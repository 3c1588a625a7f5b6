"""One broker for all tests that share it; `make kafka` says where its jars are, and without it nothing is collected."""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LIBS = os.environ.get("KAFKA_LIBS")

if LIBS is None:  # `make test` needs neither Java nor aiokafka
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.kafka.broker import Cluster

    @pytest.fixture(scope="session")
    def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
        """One broker, for the whole run; it is frozen and thawed, never killed."""
        assert LIBS is not None
        with Cluster(Path(LIBS), tmp_path_factory.mktemp("kafka")) as one:
            yield one

    @pytest.fixture(scope="module")
    def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
        """Three brokers of which any one may be killed: everything is there three times and needs two."""
        assert LIBS is not None
        with Cluster(Path(LIBS), tmp_path_factory.mktemp("three"), size=3) as one:
            yield one

    @pytest.fixture
    def topic(cluster: Cluster) -> Callable[..., str]:
        """Create a topic with a name that nobody has used."""

        def create(partitions: int = 1, **config: str) -> str:
            name = f"t-{uuid.uuid4().hex[:12]}"
            asyncio.run(cluster.create(name, partitions=partitions, **config))
            return name

        return create
