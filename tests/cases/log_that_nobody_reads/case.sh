# When nobody reads the log, everything is read and delivered all the same.
. "$(dirname "$0")/../scene.sh"

mkdir "$work/reports"; cp "$common/report.json" "$work/reports/"
{ "$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson"; echo $? > "$work/code"; } 2>&1 > /dev/null | true
code=$(cat "$work/code")
grep -q '"schema":"sysscan.scan/1"' "$work/out.ndjson" 2> /dev/null || wrong "nothing was read or delivered, and the exit code is $code"
echo RIGHT
