"""What comes before everything else: standard streams that may be missing, and a garbage collector that waits.

Modules and knowledge are a few hundred thousand objects that are never garbage. Looking through them again and again
took a quarter of the time of a whole `analyze`.
"""

import gc
import os
import sys


def begin() -> None:
    """Hold the standard streams, and collect nothing while modules are imported."""
    _hold_streams()
    gc.disable()


def loaded() -> None:
    """Collect from now on, among what is made from now on."""
    gc.freeze()
    gc.enable()


def _hold_streams() -> None:
    """Fill the places of standard streams that are closed, as some launchers leave them.

    Else the ledger might be opened as standard output, and Python has None where a stream should be. What needs such a
    stream still fails with "bad file descriptor", because it is opened the wrong way round. Only standard error is
    swallowed: nobody is there to be told.
    """
    for number, wrong_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            held = os.open(os.devnull, wrong_way)
            if held != number:
                os.dup2(held, number)
                os.close(held)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # in a locale that lacks a character
