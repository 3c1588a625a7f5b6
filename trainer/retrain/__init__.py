"""Retraining: what reviewers decided becomes lessons, and a candidate that has to prove itself before it answers."""
