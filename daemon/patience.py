"""How long the process of a model is waited for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the process is waited for, and how often it may die. docs/reliability.md has the reasons.

    Attributes:
        load_s, load_bytes_per_s: for loading: so long, and at this rate for weights of so many bytes.
        answer_s, factor: for an answer: so many times what it takes at the lowest speed that was seen, and so long at
            least.
        back_off_s: before the process is started again, after so many deaths in a row.
        deaths: so many in a row, without an answer, and no model is asked for `rest_s`. Then one more is enough.
        deaths_of_one: a question that the process died of so often is not asked again.
    """

    load_s: float = 60.0
    load_bytes_per_s: float = 10e6
    answer_s: float = 10.0
    factor: float = 5.0
    back_off_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    deaths: int = 8  # two questions that kill it, together and then one after the other, are not its end
    rest_s: float = 600.0
    deaths_of_one: int = 3
