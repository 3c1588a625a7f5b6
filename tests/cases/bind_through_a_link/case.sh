# A binding holds when a link stands in one of the two paths.
. "$(dirname "$0")/../scene.sh"

mkdir -p "$work/data/web-01"
ln -s data "$work/reports"
cp "$common/report.json" "$work/data/web-01/"
printf '[watch]\nroots = ["%s"]\nbind = { "%s" = "web-01" }\n' "$work/reports" "$work/data/web-01" > "$work/config.toml"
"$AGENT" run --once --config "$work/config.toml" --output "$work/out.ndjson" 2> "$work/log"
grep -q '"schema":"sysscan.scan/1"' "$work/out.ndjson" || wrong "no scan came out"
grep -q '"host":"web-01"' "$work/out.ndjson" || wrong "the report speaks for the host that it names itself; the binding was passed over in silence"
echo RIGHT
