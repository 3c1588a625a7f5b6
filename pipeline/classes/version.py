"""The scanner's version, against those whose reports the knowledge was made from."""

import re

NEWEST_KNOWN = (6, 0, 0)

_NUMBERS = re.compile(r"\Av?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?")


def is_newer(version: str | None) -> bool:
    """Say whether a scanner is newer than any that is known; one that does not say its version in numbers is not."""
    found = _NUMBERS.match(version) if version is not None else None
    return found is not None and tuple(int(part or 0) for part in found.groups()) > NEWEST_KNOWN
