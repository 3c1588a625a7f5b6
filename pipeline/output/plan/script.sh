usage() {
  cat <<'END'
Usage: plan.sh --check|--apply|--undo|--list [--verbose] [--any-host] [STEP...]

  --check     Say which steps are in effect and which are to be done; change nothing.
  --apply     Take the steps that are not in effect yet, each with its check before and after.
  --undo      Take back what was noted when a step was taken, the last step first.
  --list      Show the steps with their commands.
  --verbose   Show what checks and commands print, not only those of a step that failed.
  --any-host  Go on although this host calls itself otherwise than the plan's.
  STEP        Numbers of steps. Default: all of them.

Exit status: 0 all is in effect (or taken back); 1 something is to be done, or a step failed; 2 it was called wrongly.
END
}

refuse() {
  printf 'plan: %s\n' "$1" >&2
  exit 2
}

# Lines of several steps about one unit reload systemd and restart the unit one by one, which systemd takes for a service
# that fails to start. So both wait until all of them are written.
systemctl() {
  if [[ -n $waiting && ( $1 == daemon-reload || $1 == try-restart ) ]]; then return 0; fi
  command systemctl "$@"
}

# Runs a part of a step, in a subshell and without input; what it prints is kept in $said.
run() {
  said=$("$1_$2" 2>&1 </dev/null)
  local status=$?
  if [[ -n $verbose && -n $said ]]; then printf '%s\n' "$said" | sed 's/^/      /'; fi
  return "$status"
}

say() { printf '%4s  %-14s %s\n' "$1" "$2" "${titles[$1]}"; }

failed() {
  say "$1" "$2"
  if [[ -z $verbose && -n $said ]]; then printf '%s\n' "$said" | tail -n 5 | sed 's/^/      /'; fi
  wrong=$((wrong + 1))
}

list() {
  local n
  for n in "${chosen[@]}"; do
    printf '%s. %s\n' "$n" "${titles[$n]}"
    [[ -z ${minds[$n]} ]] || printf '   mind:  %s\n' "${minds[$n]}"
    declare -f "check_$n" "apply_$n" "undo_$n" | sed 's/^/   /'
  done
}

check() {
  local n open=0
  for n in "${chosen[@]}"; do
    if run check "$n"; then say "$n" 'in effect'; else say "$n" 'to be done' && open=$((open + 1)); fi
  done
  printf 'plan: %s of %s steps to be done; nothing was changed\n' "$open" "${#chosen[@]}"
  ((open == 0)) || echo 'plan: --list says of each what it does and may break; --apply takes them'
  ((open == 0))
}

# After several steps: what waited. A unit that does not come back is named; its steps can be taken back.
restart() {
  local unit
  waiting=
  ((${#changed[@]})) || return 0
  systemctl daemon-reload || wrong=$((wrong + 1))
  for unit in "${!changed[@]}"; do
    if said=$(systemctl try-restart -- "$unit" 2>&1); then continue; fi
    printf '      %s did not start again: %s\n      to take back what was set: --undo%s\n' "$unit" "$said" "${changed[$unit]}"
    wrong=$((wrong + 1))
  done
}

apply() {
  local n done_=0 there=0 reboot=0
  for n in "${chosen[@]}"; do
    if run check "$n"; then
      say "$n" 'in effect' && there=$((there + 1))
      continue
    fi
    waiting=${units[$n]}
    if ! run apply "$n"; then
      failed "$n" FAILED
      rm -rf -- "${notes[$n]:?}.new"  # what it had begun to note
    elif ! run check "$n"; then
      failed "$n" 'NOT IN EFFECT'
    else
      say "$n" 'done' && done_=$((done_ + 1))
      [[ -z $waiting ]] || changed[$waiting]+=" $n"
      [[ -z ${boots[$n]} ]] || reboot=$((reboot + 1))
    fi
    waiting=
  done
  restart
  printf 'plan: %s done, %s in effect before, %s failed\n' "$done_" "$there" "$wrong"
  ((reboot == 0)) || printf 'plan: %s of them take effect at the next boot: reboot when it suits\n' "$reboot"
  ((wrong == 0))
}

undo() {
  local n i back=0
  for ((i = ${#chosen[@]} - 1; i >= 0; i--)); do
    n=${chosen[$i]}
    if [[ ! -d ${notes[$n]} ]]; then
      say "$n" 'nothing noted'
      continue
    fi
    waiting=${units[$n]}
    if run undo "$n"; then
      say "$n" 'taken back' && back=$((back + 1))
      [[ -z $waiting ]] || changed[$waiting]+=" $n"
    else
      failed "$n" FAILED
    fi
    waiting=
  done
  restart
  printf 'plan: %s taken back, %s failed\n' "$back" "$wrong"
  ((wrong == 0))
}

export LC_ALL=C DEBIAN_FRONTEND=noninteractive
declare -A changed=()
chosen=() mode='' verbose='' any_host='' waiting='' said='' wrong=0
for word in "$@"; do
  case $word in
    --check | --apply | --undo | --list)
      [[ -z $mode ]] || refuse "--$mode and $word: choose one"
      mode=${word#--}
      ;;
    --verbose) verbose=1 ;;
    --any-host) any_host=1 ;;
    --help | -h) usage && exit 0 ;;
    *)
      [[ $word =~ ^[1-9][0-9]{0,5}$ && -n ${titles[$word]:-} ]] || refuse "${word@Q}: no such option or step; see --help"
      chosen+=("$word")
      ;;
  esac
done
[[ -n $mode ]] || { usage >&2 && exit 2; }
((${#chosen[@]})) || chosen=("${!titles[@]}")
if ((${#chosen[@]} == 0)); then
  echo 'plan: there is nothing in it that a machine can do; the comments at the top say what a person can'
  exit 0
fi
if [[ $mode != list ]]; then
  ((EUID == 0)) || refuse 'to be run as root'
  here=$(uname -n)
  [[ -n $any_host || $here == "$host" || ${here%%.*} == "${host%%.*}" ]] ||
    refuse "made for the host $host, but this is $here; --any-host goes on all the same"
fi
"$mode"
