"""Applies all remediations to one throw-away root in random order, undoes them in another, and compares; many times.

python -m tests.pipeline.remedies.rounds [ROUNDS] [SEED]
"""

import random
import sys
import time

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from tests.pipeline.remedies.scenarios import populate
from tests.pipeline.remedies.test_round_trip import shuffle
from tests.pipeline.remedies.throw_away import ThrowAwayRoot


def main() -> None:
    """Run the rounds in one root; the first state that differs ends them with what differs."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    by = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    knowledge = load_knowledge(load_features)
    started = time.monotonic()
    with ThrowAwayRoot() as root:
        populate(root)
        for number in range(rounds):
            shuffle(knowledge, root, by)
            print(f"round {number + 1} of {rounds}: as before ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
