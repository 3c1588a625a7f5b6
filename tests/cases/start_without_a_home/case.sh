# A user that has no home can run every command.
. "$(dirname "$0")/../scene.sh"

[ "$(id -u)" = 0 ] && command -v setpriv > /dev/null || { echo "needs root and setpriv"; exit 77; }
mkdir -m 777 "$work/state"
as_nobody_known() { env -u HOME -u XDG_STATE_HOME setpriv --reuid=54321 --regid=54321 --clear-groups "$@"; }
cp "$common/report.json" "$work/report.json"; chmod 644 "$work/report.json"
as_nobody_known "$AGENT" analyze "$work/report.json" > "$work/out.ndjson" 2> "$work/log"
code=$?
grep -q Traceback "$work/log" && wrong "with the state directory given: $(tail -n 1 "$work/log") (exit $code)"
[ $code = 0 ] || wrong "exit $code: $(tail -n 1 "$work/log")"
unset SYSSCAN_STATE_DIR
as_nobody_known "$AGENT" analyze "$work/report.json" > /dev/null 2> "$work/log"
grep -q Traceback "$work/log" && wrong "without a state directory: $(tail -n 1 "$work/log")"
echo RIGHT
