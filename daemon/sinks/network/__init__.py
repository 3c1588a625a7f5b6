"""What the sinks that send over a network, or to another program, share."""
