"""A Kafka topic as a sink: each record exactly once for whoever reads what is committed."""
