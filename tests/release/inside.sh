# Runs within a mount and network namespace of its own: a copy of the host's file system (an overlay, of which nothing
# stays) in which the package is installed, used, upgraded, removed and purged, and then the bundle. Prints what the test
# asks for.
set -eu
package=$1 bundle=$2 report=$3 scratch=$4
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
mount -t proc proc "$scratch/root/proc"
mount --bind /dev "$scratch/root/dev"
mkdir -p "$scratch/root/tmp/deb"
cp "$package" "$scratch/root/tmp/deb/package.deb"
cp -r "$bundle" "$scratch/root/tmp/deb/bundle"
cp "$report" "$scratch/root/tmp/deb/report.json"
exec chroot "$scratch/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive sh -eu <<'END'
cd /tmp/deb
# What the package is to leave as it was. (Users are removed in it, too, so their files are compared without order.)
state() { find /etc /opt /usr /lib/systemd /var/lib /var/log -xdev ! -path '/var/lib/dpkg*' ! -path /var/log/dpkg.log \
    ! -path '*/man-db*' ! -path '/var/cache/*' ! -name '*-' ! -path /etc/.pwd.lock \( -type f -o -type l \) 2>/dev/null | sort; sort /etc/passwd /etc/group; }
dpkg --purge sysscan-agent >/dev/null 2>&1 || true
state >before
dpkg --install package.deb >install.log 2>&1 || { cat install.log >&2; exit 1; }
echo "user: $(id -Gn sysscan-agent)"
echo "version: $(sysscan-agent --version)"
sysscan-agent analyze report.json >findings.ndjson
sha256sum <findings.ndjson | sed 's/^/findings: /'
MANPAGER=cat MANWIDTH=80 man sysscan-agent | head -n 1 | sed 's/^/page: /'
ls -l /usr/share/bash-completion/completions/sysscan-agent /lib/systemd/system/sysscan-agent.service >/dev/null && echo 'unit: there'
python3 -c 'import sys; sys.path.insert(0, "/opt/sysscan-agent/lib/python%d.%d/site-packages" % sys.version_info[:2]); \
    from pipeline.engine.extras import how_to_install; print("trainer:", how_to_install("trainer"))'
echo '# mine' >>/etc/sysscan-agent/config.toml
install -d -o sysscan-agent /var/lib/sysscan-agent && echo kept >/var/lib/sysscan-agent/ledger
dpkg --install package.deb >install.log 2>&1 || { cat install.log >&2; exit 1; }
echo "upgraded: $(tail -n 1 /etc/sysscan-agent/config.toml) $(cat /var/lib/sysscan-agent/ledger)"
dpkg --remove sysscan-agent >/dev/null 2>&1
echo "removed: $(ls -d /opt/sysscan-agent /usr/bin/sysscan-agent 2>/dev/null | wc -l) $(tail -n 1 /etc/sysscan-agent/config.toml) $(cat /var/lib/sysscan-agent/ledger)"
dpkg --purge sysscan-agent >/dev/null 2>&1
state >after
diff before after | grep '^[<>]' | sed 's/^/left: /' || true
sh bundle/install.sh --service --python /usr/bin/python3 >/dev/null
echo "bundle: $(/usr/local/bin/sysscan-agent analyze report.json | sha256sum)"
sh bundle/install.sh --remove --purge >/dev/null
state >after
diff before after | grep '^[<>]' | sed 's/^/left by the bundle: /' || true
touch /etc/left-behind
state >after
diff before after | grep '^[<>]' | sed 's/^/control: left: /' || true
END
