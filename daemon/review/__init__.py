"""What belongs to the daemon of reviewing: the queue, and telling of a verdict at once."""
