# An indicated address is recognised when the socket is an IPv6 one, as the kernel writes it and mapped.
. "$(dirname "$0")/../scene.sh"

"$AGENT" analyze "$here/report.json" --intel "$here/indicators.txt" > "$work/out.ndjson" 2> "$work/log"
hits=$(grep '"schema":"sysscan.enriched/1"' "$work/out.ndjson" | grep -vc '"threat_intel":\[\]')
[ "$hits" = 2 ] || wrong "$hits of 2 connections to an indicated address were recognised"
echo RIGHT
