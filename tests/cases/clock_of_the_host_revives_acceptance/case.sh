# The clock of the scanned host does not revive an acceptance that has ended.
. "$(dirname "$0")/../scene.sh"

"$AGENT" analyze "$here/report.json" --policy "$here/policy.yaml" > "$work/out.ndjson" 2> "$work/log"
grep '"schema":"sysscan.enriched/1"' "$work/out.ndjson" | grep -q '"status":"accepted"' || { echo RIGHT; exit 0; }
grep '"schema":"sysscan.scan/1"' "$work/out.ndjson" | grep -q '"notes":\[\]' || { echo "RIGHT (accepted, and the scan record says that its time is odd)"; exit 0; }
wrong "an entry that ended in 2020 accepts a finding because the host's clock says 2001, without a word"
