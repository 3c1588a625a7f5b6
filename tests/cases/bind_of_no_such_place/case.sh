# A binding for a place that does not exist is named.
. "$(dirname "$0")/../scene.sh"

mkdir -p "$work/reports/web-01"
cp "$common/report.json" "$work/reports/web-01/"
printf '[watch]\nroots = ["%s"]\nbind = { "%s" = "web-01" }\n' "$work/reports" "$work/reports/web01" > "$work/config.toml"
"$AGENT" run --once --config "$work/config.toml" --output "$work/out.ndjson" > "$work/log" 2>&1
"$AGENT" doctor --config "$work/config.toml" --json >> "$work/log" 2>&1
grep -E '"(warning|problem|error)"|^sysscan-agent:' "$work/log" | grep -q 'web01' ||
    wrong "a binding for a directory that does not exist is accepted without a word"
echo RIGHT
