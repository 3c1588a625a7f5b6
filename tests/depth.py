"""How much of what could be tried a run tries: enough for every change, or all of it.

pytest                               property tests with a part of their examples, and the corpora without repetition
pytest --hypothesis-profile=deep     all examples, and every file wherever files are gone through; `.ci/run` does this
"""

from hypothesis import settings

USUAL_PART = 0.4

# No test may depend on how busy the machine is, which a deadline would.
settings.register_profile("usual", deadline=None, max_examples=40)
settings.register_profile("deep", deadline=None)
settings.load_profile("usual")  # pytest takes the one of its command line in place of it before it imports a test


def is_deep() -> bool:
    """Say whether all is to be tried."""
    return settings.get_current_profile_name() == "deep"


def examples(deep: int) -> int:
    """Give the number of examples of a property test, out of those of a deep run."""
    return deep if is_deep() else max(1, round(deep * USUAL_PART))
