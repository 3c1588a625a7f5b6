"""Kafka topics as a source of reports."""
