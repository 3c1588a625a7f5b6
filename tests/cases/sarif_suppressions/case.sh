# What SARIF calls suppressed does not come out as open.
. "$(dirname "$0")/../scene.sh"

"$AGENT" analyze "$here/report.sarif" > "$work/out.ndjson" 2> "$work/log"
python3 - "$work/out.ndjson" <<'P' || exit 1
import json, sys
want = {"/opt/a": True, "/opt/b": False, "/opt/c": False, "/opt/d": True, "/opt/e": True, "/opt/f": False}  # open?
bad = []
for line in open(sys.argv[1]):
    one = json.loads(line)
    if "finding" in one and (one["status"] == "open") != want[one["finding"]["id"]]:
        bad.append(f'{one["finding"]["id"]} is {one["status"]}')
if bad:
    print("FAULT:", "; ".join(bad))
    sys.exit(1)
P
echo RIGHT
