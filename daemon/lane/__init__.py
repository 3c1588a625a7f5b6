"""A lane: one partition of a topic, its ledger, and the transactions in which what came of it goes out."""
