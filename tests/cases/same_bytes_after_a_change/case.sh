# A problem that comes back is reported though its report is equal to an earlier one.
. "$(dirname "$0")/../scene.sh"

mkdir "$work/reports"
for each in first second first; do
    cp "$here/$each.json" "$work/reports/.new" && mv "$work/reports/.new" "$work/reports/edge1.json"
    "$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" 2>> "$work/log"
done
last=$(grep '"schema":"sysscan.enriched/1"' "$work/out.ndjson" | tail -n 1)
echo "$last" | grep -q '"status":"open"' || wrong "the host is open again; the last line that came out says it is mended"
echo "$last" | grep -q '"state":"regressed"' || wrong "it came back, and is not called regressed"
echo RIGHT
