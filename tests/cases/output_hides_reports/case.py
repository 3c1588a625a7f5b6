"""Reports that share the beginning of the output's name are read."""

import json

from tests.cases.scene import IN, emitted, end, publish, report, start

sarif = {
    "version": "2.1.0",
    "runs": [{
        "tool": {"driver": {"name": "sys-scan"}},
        "results": [{"ruleId": "/usr/bin/x", "level": "low", "message": {"text": "SUID binary - x"},
                     "properties": {"baseSeverityScore": 30}}],
    }],
}  # fmt: skip
for number, name in enumerate(("web01.json", "web01.sarif", "web01.2026-11-04.json", "web02.json")):
    publish(name, report(f"h{number}") if name.endswith("json") else json.dumps(sarif).encode())
code = start(output=IN / "web01.ndjson", more=["--once"]).wait(60)
seen = {line["host"] for line in emitted(IN / "web01.ndjson")}
end(None if len(seen) == 4 else f"findings of {sorted(seen)} came out, of 4 reports; exit code {code}")
