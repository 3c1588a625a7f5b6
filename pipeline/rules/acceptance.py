"""Writes the entry of the allow-list for what the scanner goes on reporting although it is mended."""

import json
from datetime import date, timedelta

_HOLDS = timedelta(days=365)


def acceptance(class_id: str, fingerprint: str, done: str, unseen: str, as_of: str) -> str:
    """Write an entry for `allow` in a policy file, on one line, valid as it stands.

    It says `false_positive`, because what is set is no weakness and no failing evidence any more, and it names the one
    finding on the one host by its fingerprint: no value of the host can make it mean more.

    Args:
        done: what was done, in words.
        unseen: why the scanner does not see it.
        as_of: RFC 3339; the entry holds for a year from then.
    """
    today = date.fromisoformat(as_of[:10])
    until = min(today, date.max - _HOLDS) + _HOLDS
    # A JSON string is one in YAML, too. The fingerprint stands in quotes, because some are all digits or look like 1e5.
    reason = json.dumps(f"done: {done.rstrip('.')} ({unseen})", ensure_ascii=False)
    return (
        f'- {{class: {class_id}, fingerprint: "{fingerprint}", status: false_positive, owner: operator, '
        f"reason: {reason}, expires: {until.isoformat()}}}"
    )
