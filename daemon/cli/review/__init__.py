"""`sysscan-agent review …`: what people decide about findings."""
