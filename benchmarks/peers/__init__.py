"""Consumers as they are usually written, under the same faults as ours."""
