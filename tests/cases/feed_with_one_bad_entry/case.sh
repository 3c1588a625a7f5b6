# One entry of a feed that cannot be used is named, and the others are used.
. "$(dirname "$0")/../scene.sh"

for feed in bundle.json list.txt; do
    "$AGENT" analyze "$here/report.json" --intel "$here/$feed" > "$work/out.ndjson" 2> "$work/log"
    code=$?
    [ $code -le 1 ] || wrong "$feed: one entry that cannot be used stops everything (exit $code): $(head -n 1 "$work/log")"
    grep -q '"file.path"\|"file.name"' "$work/out.ndjson" || wrong "$feed: the good indicators were not used"
    "$AGENT" doctor --intel "$here/$feed" --json 2>&1 | grep "warning" | grep -q "$feed" || wrong "$feed: nothing says what was not used"
done
echo RIGHT
