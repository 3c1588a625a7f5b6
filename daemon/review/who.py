"""Who decides, and when."""

import os
import pwd
import time
from datetime import UTC, datetime


def now() -> str:
    """Say what time it is, RFC 3339 in UTC."""
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def author() -> str:
    """Name who is asking: the user of the process, and behind `sudo` who became it."""
    name = user(os.getuid())
    behind = os.environ.get("SUDO_USER")
    return f"{behind} as {name}" if os.getuid() == 0 and behind and behind != name else name


def user(uid: int) -> str:
    """Name a user of this machine, by the number where there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
