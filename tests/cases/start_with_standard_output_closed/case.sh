# A standard stream that is closed ends in no traceback.
. "$(dirname "$0")/../scene.sh"

mkdir "$work/reports"; cp "$common/report.json" "$work/reports/"
"$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" 2> "$work/log" >&-
code=$?
grep -q Traceback "$work/log" && wrong "run: $(tail -n 1 "$work/log") (exit $code)"
[ $code = 0 ] || wrong "run writes to a file and has nothing to say on standard output, exit $code"
for command in "analyze $common/report.json" doctor "report"; do
    "$AGENT" $command 2> "$work/log" >&-
    grep -q Traceback "$work/log" && wrong "$command: $(tail -n 1 "$work/log")"
done
"$AGENT" analyze - 2> "$work/log" > /dev/null <&-
grep -q Traceback "$work/log" && wrong "analyze -, standard input closed: $(tail -n 1 "$work/log")"
echo RIGHT
