# What a SARIF result takes from its rule is read.
. "$(dirname "$0")/../scene.sh"

"$AGENT" analyze "$here/report.sarif" > "$work/out.ndjson" 2> "$work/log"
python3 - "$work/out.ndjson" <<'P' || exit 1
import json, sys
lines = {one["finding"]["id"]: one["finding"] for line in open(sys.argv[1]) if "finding" in (one := json.loads(line))}
bad = []
if lines["R1"]["severity"] != "high":
    bad.append(f'R1, an error by its rule, is {lines["R1"]["severity"]}')
if lines["R2"]["severity"] != "low":
    bad.append(f'R2, a note by its rule, is {lines["R2"]["severity"]}')
if "weak cipher" not in (lines["R3"]["title"] or ""):
    bad.append(f'R3 has lost its text: {lines["R3"]["title"]}')
if bad:
    print("FAULT:", "; ".join(bad))
    sys.exit(1)
P
echo RIGHT
