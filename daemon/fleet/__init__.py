"""The view over a fleet: a program of its own that reads what agents have committed, and that nothing else needs."""
