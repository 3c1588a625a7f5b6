# Of two reports written one behind the other, both are read though each begins with a byte order mark.
. "$(dirname "$0")/../scene.sh"

mark='\357\273\277'
{ printf "$mark"; cat "$here/first.json"; printf "$mark"; cat "$here/second.json"; } > "$work/both.json"
"$AGENT" analyze "$work/both.json" > "$work/out.ndjson" 2> "$work/log"
scans=$(grep -c '"schema":"sysscan.scan/1"' "$work/out.ndjson")
[ "$scans" = 2 ] || wrong "$scans of 2 reports were read: $(head -n 1 "$work/log")"
echo RIGHT
