#!/bin/sh
# Installs sysscan-agent @version@ from this bundle, without a network: for CPython @python@ on @machine@, glibc @glibc@ or newer.
#   sh install.sh [--prefix DIR] [--python PYTHON] [--with EXTRA[,EXTRA]] [--service] [--root DIR]
#   sh install.sh --remove [--purge] [--root DIR]        what --service brought, and the program in /opt/sysscan-agent
set -eu

home=/opt/sysscan-agent
prefix=$home python='' with='' service='' root='' remove='' purge=''
bundle=$(cd "$(dirname "$0")" && pwd)

usage() {
    cat <<END
sh install.sh [OPTION]...
  --prefix DIR     virtual environment to make or to renew (default: $home)
  --python PYTHON  CPython @python@ to make it with (default: python@python@, or python3)
  --with EXTRAS    further parts, with commas between them: @extras@
  --service        put units, user, configuration, man pages and completion into place, too
  --root DIR       put them below DIR, and leave users and systemd alone (--service, --remove)
  --remove         take away what this script put into place in $home and for the service
  --purge          with --remove: configuration, state, output and user, too
END
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --python | --with | --root)
        [ $# -gt 1 ] || fail "$1: needs a value; see --help"
        case $1 in
        --prefix) prefix=$2 ;;
        --python) python=$2 ;;
        --with) with=$2 ;;
        --root) root=${2%/} ;;
        esac
        shift
        ;;
    --service) service=yes ;;
    --remove) remove=yes ;;
    --purge) purge=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) fail "$1: no such option; see --help" ;;
    esac
    shift
done

# Systemd and users are those of the running system, so they are left alone where all goes below another root.
running() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

placed() {
    for path in sysscan-agent.service sysscan-agent-fleet.service sysscan-agent-kafka@.service \
        sysscan-agent-retrain.service sysscan-agent-retrain.timer \
        sysscan-agent-review.service sysscan-agent-review.socket; do
        echo "systemd/$path /etc/systemd/system/$path"
    done
    echo systemd/sysscan-agent.sysusers /usr/lib/sysusers.d/sysscan-agent.conf
    echo systemd/sysscan-agent.tmpfiles /usr/lib/tmpfiles.d/sysscan-agent.conf
    for program in sysscan-agent sysscan-agent-fleet sysscan-train; do
        echo "man/$program.1 /usr/local/share/man/man1/$program.1"
        echo "completion/bash/$program /usr/local/share/bash-completion/completions/$program"
    done
    for program in sysscan-agent sysscan-train; do
        echo "completion/zsh/_$program /usr/local/share/zsh/site-functions/_$program"
        echo "completion/fish/$program.fish /usr/local/share/fish/vendor_completions.d/$program.fish"
    done
}

if [ -n "$remove" ]; then
    if running; then
        systemctl disable --now sysscan-agent.service sysscan-agent-fleet.service sysscan-agent-retrain.timer \
            sysscan-agent-review.socket sysscan-agent-review.service >/dev/null 2>&1 || true
    fi
    placed | while read -r _ path; do rm -f "$root$path"; done
    for program in sysscan-agent sysscan-agent-fleet sysscan-train; do
        if [ -L "$root/usr/local/bin/$program" ]; then rm -f "$root/usr/local/bin/$program"; fi
    done
    rm -rf "$root$home"
    if running; then systemctl daemon-reload; fi
    if [ -n "$purge" ]; then
        rm -rf "$root/etc/sysscan-agent" "$root/var/lib/sysscan-agent" "$root/var/log/sysscan-agent" \
            "$root/run/sysscan-agent"
        if [ -z "$root" ]; then
            userdel sysscan-agent 2>/dev/null || true
            groupdel sysscan-review 2>/dev/null || true
        fi
        echo 'removed, with configuration, state and output; /var/lib/sysscan, which the scanner writes to, is left'
    else
        echo 'removed; /etc/sysscan-agent, /var/lib/sysscan-agent and /var/log/sysscan-agent are left (--purge takes them)'
    fi
    exit 0
fi
[ -z "$purge" ] || fail '--purge: has no effect without --remove'
[ -z "$root" ] || [ -n "$service" ] || fail '--root: has no effect without --service or --remove; see --prefix'
[ -z "$service" ] || [ "$prefix" = $home ] || [ -n "$root" ] || fail "--service: the units run what is in $home; leave --prefix out"

[ "$(uname -m)" = @machine@ ] || fail "this bundle is for @machine@, and this is $(uname -m)"
if [ -z "$python" ]; then
    for python in python@python@ python3; do
        if command -v "$python" >/dev/null; then break; fi
    done
fi
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "$python: no such Python; name a CPython @python@ with --python"
[ "$found" = @python@ ] || fail "this bundle is for Python @python@, and $python is $found; name another with --python"
if glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null); then
    oldest=$(printf '%s\n' "${glibc#glibc }" @glibc@ | sort -V | head -n 1)
    [ "$oldest" = @glibc@ ] || fail "glibc @glibc@ or newer is needed, and this is ${glibc#glibc }"
else
    fail 'glibc @glibc@ or newer is needed, and this system has another C library'
fi
for extra in $(printf %s "$with" | tr , ' '); do
    # shellcheck disable=SC2194 # a word for each extra of this bundle
    case " @extras@ " in
    *" $extra "*) ;;
    *) fail "--with $extra: not in this bundle, which has: @extras@" ;;
    esac
done

cd "$bundle"
sha256sum --check --quiet SHA256SUMS || fail "$bundle: is not what was made; fetch the bundle again"

agent=$(echo "$bundle"/wheels/sysscan_agent-*.whl)
umask 022
# Without pip of its own at first: on Debian that would need python3-venv.
[ -x "$prefix/bin/python" ] || "$python" -I -m venv --without-pip "$prefix" || fail "$prefix: cannot be made"
pip() { "$prefix/bin/python" -I "$(echo "$bundle"/wheels/pip-*.whl)/pip" --isolated --quiet --no-input --disable-pip-version-check "$@"; }
{
    pip install --no-index --find-links "$bundle/wheels" pip "$agent${with:+[$with]}" &&
        pip install --no-index --no-deps --force-reinstall "$agent" # of the same version, too
} || fail "$prefix: not installed; pip says why above"

if [ -n "$service" ]; then
    placed | while read -r from path; do install -D -m 0644 "$from" "$root$path"; done
    install -d -m 0755 "$root/usr/local/bin"
    for program in sysscan-agent sysscan-agent-fleet sysscan-train; do
        ln -sfn "$home/bin/$program" "$root/usr/local/bin/$program"
    done
    for name in config.toml policy.yaml; do
        if [ -e "$root/etc/sysscan-agent/$name" ]; then
            echo "kept: $root/etc/sysscan-agent/$name"
        else
            install -D -m 0644 "config/$name" "$root/etc/sysscan-agent/$name"
        fi
    done
    if running; then
        systemd-sysusers sysscan-agent.conf
        systemd-tmpfiles --create sysscan-agent.conf
        systemctl daemon-reload
        systemctl try-restart sysscan-agent.service
        echo 'the service is off until you switch it on: systemctl enable --now sysscan-agent'
    fi
fi
"$prefix/bin/sysscan-agent" --version
