"""Parses what the scanner wrote into typed findings; what cannot be used is rejected with a reason."""
