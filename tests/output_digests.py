"""What the output over all real scans hashes to, so that a change of its bytes is always a decision.

    python -m tests.output_digests      compare with tests/data/output_digests.json, and renew it

Rules only, and with an analyst that always gives the same answer. The shipped model is left out: its answers may depend
on the processor.
"""

import hashlib
import json
from pathlib import Path

from pipeline.output.lines import scan_lines
from pipeline.output.write import write
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import FILES, lines_of, reports, resources, session_of

KEPT = Path(__file__).parent / "data" / "output_digests.json"


def digests() -> dict[str, dict[str, str]]:
    """Hash each scan by kind of analyst and file: findings, record, and the lines that the record is in a file."""
    kinds = {"rules": resources(), "model": resources(analyst=PlainAnalyst())}
    found: dict[str, dict[str, str]] = {}
    for kind, on in kinds.items():
        for name in FILES:
            total = hashlib.sha256()
            for parsed in reports(name):
                session = session_of(parsed, on, {})
                for line in lines_of(session):
                    total.update(line.line + b"\n")
                record = session.record()
                for made in (write(record), *scan_lines(record)):
                    total.update(made + b"\n")
            found.setdefault(kind, {})[name] = total.hexdigest()
    return found


def changed(kept: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> list[str]:
    """List the scans whose output differs, as ``KIND: FILE``."""
    pairs = {(kind, name) for table in (kept, found) for kind, names in table.items() for name in names}
    return [
        f"{kind}: {name}"
        for kind, name in sorted(pairs)
        if kept.get(kind, {}).get(name) != found.get(kind, {}).get(name)
    ]


if __name__ == "__main__":
    now = digests()
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    KEPT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    print("\n".join(changed(before, now)) or "nothing changed")
