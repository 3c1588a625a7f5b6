"""Closed-vocabulary values computed from slots: what a prompt may show and a rule may test."""
