# Reports behind a linked directory are read, or named.
. "$(dirname "$0")/../scene.sh"

mkdir -p "$work/reports" "$work/volume/web-01"
cp "$common/report.json" "$work/volume/web-01/"
ln -s "$work/volume/web-01" "$work/reports/web-01"
"$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" > "$work/log" 2>&1
echo "exit $?" >> "$work/log"
grep -q '"schema":"sysscan.scan/1"' "$work/out.ndjson" 2> /dev/null && { echo RIGHT; exit 0; }
{ grep -v '"service.started"' "$work/log"; "$AGENT" ledger quarantine list; SYSSCAN_WATCH__ROOTS="$work/reports" "$AGENT" doctor --json; } 2>&1 |
    grep -q 'reports/web-01' && { echo "RIGHT (not read, and said)"; exit 0; }
wrong "reports/web-01 is a link to a directory outside; its reports are neither read nor named anywhere, $(tail -n 1 "$work/log")"
