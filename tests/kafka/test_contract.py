"""The Kafka sink keeps what every sink promises, on the real broker."""

from collections.abc import Callable, Iterator

import pytest

from tests.daemon.ports import test_sink
from tests.daemon.ports.test_sink import Place
from tests.kafka import places
from tests.kafka.broker import Cluster

test_a_name = test_sink.test_a_name_says_the_kind_and_stays_the_same
test_durable = test_sink.test_everything_up_to_the_position_that_it_returns_is_there_and_nothing_comes_twice
test_no_rows = test_sink.test_without_rows_it_says_how_far_it_has_got
test_mark = test_sink.test_a_new_one_goes_on_from_the_mark
test_found = test_sink.test_what_is_durable_though_the_mark_was_not_moved_is_found_or_counts_once_by_its_key
test_delivery = test_sink.test_a_delivery_carries_everything_to_it_once_and_keeps_what_it_holds_in_the_outbox


@pytest.fixture
def place(cluster: Cluster, topic: Callable[..., str]) -> Iterator[Place]:
    settings = places.settings(cluster, topic())
    made: list[places.Settled] = []

    def make() -> places.Settled:
        made.append(places.Settled(places.sink(settings)))
        return made[-1]

    yield Place(make, lambda: [one.value for one in places.records(cluster, settings.topic)])
    for one in made:
        one.close()
