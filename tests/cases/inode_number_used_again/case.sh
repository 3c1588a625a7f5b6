# A file that is no report is left alone though it got the inode number of one that is gone.
. "$(dirname "$0")/../scene.sh"

again() {  # give the file $1 the content of standard input and the inode number $2, if the file system lets us
    cat > "$work/content"
    i=0
    while [ $i -lt 300 ]; do
        : > "$work/reports/fill.$i"
        if [ "$(ls -i "$work/reports/fill.$i" | cut -d' ' -f1)" = "$2" ]; then
            cat "$work/content" > "$work/reports/fill.$i"
            mv "$work/reports/fill.$i" "$work/reports/$1"
            rm -f "$work"/reports/fill.*
            return 0
        fi
        i=$((i + 1))
    done
    rm -f "$work"/reports/fill.*
    return 1
}
for attempt in 1 2 3 4 5 6; do  # somebody else may get the number first
    rm -rf "$work/reports" "$work/state" "$work/out.ndjson"; mkdir "$work/reports"
    cp "$common/report.json" "$work/reports/edge1.json"
    before=$(ls -i "$work/reports/edge1.json" | cut -d' ' -f1)
    "$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" 2> "$work/log"
    rm "$work/reports/edge1.json"
    echo "a note that is nobody's business" | again notes.txt "$before" && break
    [ $attempt = 6 ] && { echo "this file system does not use the number again"; exit 77; }
done
"$AGENT" run --once --watch "$work/reports" --output "$work/out.ndjson" 2> "$work/log"
code=$?
"$AGENT" ledger quarantine list | grep -q "nobody's business" && wrong "notes.txt, which is no report by its name, was opened and copied into the quarantine (exit $code)"
[ $code = 0 ] || wrong "exit $code"
echo RIGHT
