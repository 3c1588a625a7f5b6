"""Times of records, which a saved line may hold anything for."""

import re
from datetime import datetime

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")


def milliseconds(at: str | None) -> int | None:
    """Give a time (RFC 3339, UTC) in milliseconds since the epoch; None where it is none."""
    if at is None or not _TIME.fullmatch(at):
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000
