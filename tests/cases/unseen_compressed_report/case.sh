# What was rotated into .zst is read, or named.
. "$(dirname "$0")/../scene.sh"

mkdir "$work/reports"
head -n 4 "$here/scan.ndjson" > "$work/reports/scan.ndjson"
"$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" 2> "$work/log"
# While the service was down the stream grew, and logrotate with `compresscmd zstd` came by.
rm "$work/reports/scan.ndjson"
cp "$here/scan.ndjson.1.zst" "$work/reports/"
"$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" > "$work/log" 2>&1
echo "exit $?" >> "$work/log"
grep -q '"/opt/e"' "$work/out.ndjson" && { echo RIGHT; exit 0; }
{ cat "$work/log"; "$AGENT" ledger quarantine list; SYSSCAN_WATCH__ROOTS="$work/reports" "$AGENT" doctor --json; } 2>&1 |
    grep -q 'scan\.ndjson\.1\.zst' && { echo "RIGHT (not read, and said)"; exit 0; }
wrong "the rest of the stream lies in scan.ndjson.1.zst; it is neither read nor named anywhere, $(tail -n 1 "$work/log")"
