"""Where Kafka's usual partitioner puts a key."""

from aiokafka.partitioner import murmur2


def place_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key among so many (murmur2, as of Java clients)."""
    place: int = (murmur2(key) & 0x7FFFFFFF) % partitions
    return place
