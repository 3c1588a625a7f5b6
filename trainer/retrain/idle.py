"""The lowest priority that there is: nothing that the host does waits for a model that learns."""

import contextlib
import ctypes
import os
import platform

_IDLE_CLASS = 3 << 13  # of ioprio_set: only what nobody else wants of the disk
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


def give_way() -> None:
    """Take processor and disk only where they are idle; where the system refuses, as far as it lets us."""
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, 1, 0, _IDLE_CLASS)
