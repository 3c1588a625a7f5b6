"""A lane's client through aiokafka, which is imported here and in `daemon.sinks.kafka.client`, and nowhere else."""
