# `--output -` is standard output, or refused: it makes no file called `-`.
. "$(dirname "$0")/../scene.sh"

cd "$work"
"$AGENT" analyze "$common/report.json" --output - > out.ndjson 2> log
code=$?
[ -e ./- ] && wrong "a file called - was made, nothing came out on standard output (exit $code)"
[ -s out.ndjson ] || [ $code = 2 ] || wrong "neither output nor refusal"
echo RIGHT
