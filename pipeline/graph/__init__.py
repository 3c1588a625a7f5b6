"""The checkpointed graph that a batch of findings goes through, and the session that its nodes work on."""
