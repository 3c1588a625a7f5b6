"""Keeps the garbage collector away from what stays until the process ends.

Modules and knowledge are a few hundred thousand objects that are never garbage. Looking through them again and again
took a quarter of the time of a whole `analyze`.
"""

import gc


def begin() -> None:
    """Collect nothing while modules are imported."""
    gc.disable()


def loaded() -> None:
    """Collect from now on, among what is made from now on."""
    gc.freeze()
    gc.enable()
