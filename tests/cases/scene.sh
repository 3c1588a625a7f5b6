# Sourced by each case.sh; AGENT is the program. Exit 0: right, 1: the fault is there, 77: cannot be tried here.
set -u
AGENT=${AGENT:-sysscan-agent}
here=$(cd "$(dirname "$0")" && pwd)
common=$(dirname "$here")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
export SYSSCAN_MODEL__ENABLED=false SYSSCAN_STATE_DIR="$work/state"
wrong() { echo "FAULT: $*"; exit 1; }
