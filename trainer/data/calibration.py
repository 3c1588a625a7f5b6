"""Choice of the findings that a quantiser looks at."""

import random
from collections import defaultdict
from collections.abc import Sequence

from trainer.data.dataset import Example


def choose_calibration(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Draw examples so that every class is there before any comes twice.

    The layers see what they will see at work: few hosts have the frequent class only, and a rare one that the
    quantiser never met is where its error would go.
    """
    rng = random.Random(seed)  # noqa: S311  (a draw, not a secret)
    by_class: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_class[example.class_id].append(example)
    queues = []
    for name in sorted(by_class):
        rng.shuffle(by_class[name])
        queues.append(by_class[name])
    rng.shuffle(queues)
    chosen: list[Example] = []
    while queues and len(chosen) < count:
        chosen.extend(queue.pop() for queue in queues)
        queues = [queue for queue in queues if queue]
    return chosen[:count]
