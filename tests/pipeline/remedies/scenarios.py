"""What a throw-away root holds before remediations are tried in it, and on what each of them is tried."""

from dataclasses import dataclass, field

from tests.pipeline.remedies.throw_away import ThrowAwayRoot

HOSTILE = "/srv/a b'\"$(touch pwned)`touch pwned`;touch pwned\n-x*?[a] \u00fc\\"


@dataclass(frozen=True)
class Scenario:
    """One action on one target.

    Attributes:
        stays: names in a snapshot that the way back cannot restore, with the reason; anything else must be as before.
        already: the host is as the action wants it before; the way back must leave that alone.
    """

    action: str
    params: dict[str, str] = field(default_factory=dict)
    stays: tuple[str, ...] = ()
    already: bool = False
    again: str = ""  # tells scenarios of one action apart

    @property
    def name(self) -> str:
        """Name it for people."""
        return f"{self.action}-{self.again}" if self.again else self.action


def _unit(unit: str, directive: str = "PrivateTmp", value: str = "yes") -> dict[str, str]:
    return {"unit": unit, "directive": directive, "value": value}


SCENARIOS = [
    Scenario("file.remove_world_write", {"path": "/srv/open"}),
    Scenario("file.remove_world_write", {"path": HOSTILE}, again="hostile"),
    Scenario("file.remove_world_write", {"path": "/etc/passwd"}, again="account"),
    Scenario("dir.remove_world_write", {"path": "/srv/bin"}),
    Scenario("dir.remove_world_write", {"path": "/srv/sticky"}, again="sticky"),
    Scenario("file.remove_setuid", {"path": "/srv/setgid"}, again="2755"),
    Scenario("file.remove_setuid", {"path": "/srv/setuid"}, again="4711"),
    Scenario("file.remove_setuid", {"path": "/srv/both"}, again="6777"),
    Scenario("file.remove_setuid", {"path": HOSTILE}, again="hostile"),
    Scenario("file.remove_world_write", {"path": "/srv/both"}, again="6777"),
    Scenario("file.remove_capability", {"path": "/srv/capable"}),
    Scenario("file.remove_capability", {"path": HOSTILE}, again="hostile"),
    Scenario("file.mode_account_files"),
    Scenario("file.mode_sshd_config"),
    Scenario("mount.option", {"mountpoint": "/tmp", "option": "nosuid"}, again="tmp-nosuid"),
    Scenario("mount.option", {"mountpoint": "/tmp", "option": "nodev"}, again="tmp-nodev"),
    Scenario("mount.tmp_noexec", {"mountpoint": "/tmp"}),
    Scenario("mount.option", {"mountpoint": "/home", "option": "nosuid"}, again="home-nosuid"),
    Scenario("mount.option", {"mountpoint": "/home", "option": "nodev"}, already=True, again="home-nodev"),
    Scenario("mount.tmp_noexec", {"mountpoint": "/var/tmp"}, again="var-tmp"),
    Scenario("mount.unit_option", {"mountpoint": "/mnt", "option": "nosuid"}),
    Scenario("mount.unit_option", {"mountpoint": "/mnt", "option": "nodev"}, again="second"),
    Scenario("mount.unit_option", {"mountpoint": "/mnt", "option": "noexec"}, already=True, again="there"),
    Scenario("sysctl.set", {"key": "kernel.kptr_restrict", "value": "2"}),
    Scenario("sysctl.set", {"key": "kernel.dmesg_restrict", "value": "1"}, again="dmesg"),
    Scenario("sysctl.set", {"key": "kernel.sysrq", "value": "0"}, again="sysrq"),
    Scenario("sysctl.set", {"key": "kernel.randomize_va_space", "value": "2"}, again="aslr"),
    Scenario("sysctl.set", {"key": "net.ipv4.tcp_syncookies", "value": "1"}, again="syncookies"),
    Scenario("sysctl.set_all_and_default", {"name": "rp_filter", "value": "1"}, again="rp_filter"),
    Scenario("sysctl.set_all_and_default", {"name": "accept_redirects", "value": "0"}, again="accept_redirects"),
    Scenario("sysctl.set_all_and_default", {"name": "accept_source_route", "value": "0"}, again="source_route"),
    Scenario("sysctl.kexec_disable", stays=("/settings/kernel/kexec_load_disabled",)),
    Scenario("sysctl.ip_forward_off"),
    Scenario("kernel.cmdline_add", {"argument": "init_on_alloc=1"}),
    Scenario("kernel.lockdown"),
    Scenario("module.block", {"module": "udf"}),
    Scenario("module.block", {"module": "usb-storage"}, again="dash"),
    Scenario("systemd.dropin", _unit("a.service")),
    Scenario("systemd.dropin", _unit("a.service", "ProtectHome", "read-only"), again="second"),
    Scenario("systemd.dropin", _unit("kept.service"), again="kept"),
    Scenario("systemd.dropin", _unit("dev-disk\\x2dby@a:b.service"), again="escapes"),
    Scenario("systemd.dropin_template", _unit("a@.service")),
    Scenario("systemd.dropin_at_boot", _unit("c.service")),
    Scenario("service.disable", {"unit": "a.service"}),
    Scenario("service.disable", {"unit": "b.service"}, again="other"),
    Scenario("service.mask", {"unit": "packaged.service"}),
    *(
        Scenario(f"audit.rules_{name}")
        for name in ("all", "execve", "setuid", "setgid", "chmod", "chown", "capset", "modules")
    ),
    Scenario("selinux.enforce"),
    Scenario("process.contain", {"exe": "SLEEP", "pid": "SLEEP"}),
]

# With apt and dpkg themselves, on packages made for this. What they install they only take away where no other of these
# is applied in between, as on any host: what one has added, the other finds there.
PACKAGES = [
    Scenario("package.install", {"package": "sysscan-tried"}),
    Scenario("package.install", {"package": "sysscan-there"}, already=True, again="there"),
    Scenario("package.reinstall", {"package": "sysscan-there"}),
    Scenario("package.reinstall_owner", {"path": "/opt/there/program"}),
    Scenario("audit.install"),
    Scenario("logging.install_rsyslog"),
    Scenario("apparmor.enable"),
]

# They change nothing that could be taken back, but save what they find (test_evidence.py).
SAVES = ("process.investigate", "file.investigate_setuid")

# Tools that this machine may not have, or that have no namespace: what they do to files is done here in a few lines.
STAND_INS = {
    # Reads what grub-mkconfig of Debian reads.
    "update-grub": """
. /etc/default/grub
for f in /etc/default/grub.d/*.cfg; do [ ! -e "$f" ] || . "$f"; done
echo "linux /vmlinuz root=/dev/sda1 $GRUB_CMDLINE_LINUX" > /boot/grub/grub.cfg
""",
    # Concatenates as augenrules of audit 3 does; the kernel's rules have no namespace.
    "augenrules": """
{ echo '## This file is automatically generated from /etc/audit/rules.d'
for f in /etc/audit/rules.d/*.rules; do grep -v -e '^$' -e '^#' "$f"; done; } > /etc/audit/audit.rules
chmod 0640 /etc/audit/audit.rules
""",
    # Only "show" needs a systemd that runs; all else is done by the real one, on files.
    "systemctl": """
[ "$1" = show ] || PATH=${PATH#/stand-ins:} exec systemctl "$@"
for u in "$@"; do :; done
cat /etc/systemd/system/$u /etc/systemd/system/$u.d/*.conf 2>/dev/null | sed -n 's/^Options=//p' | tail -n 1
""",
    "auditctl": "grep -e ^-a /etc/audit/audit.rules || :",
    "getenforce": "if grep -q 1 /run/enforce; then echo Enforcing; else echo Permissive; fi",
    "setenforce": "echo $1 > /run/enforce",
    "ausearch": "exit 1",
}
MODPROBE = """
for m in "$@"; do :; done
sed -n "s|^install $m |install |p" /etc/modprobe.d/*.conf
"""


def populate(root: ThrowAwayRoot) -> None:
    """Put there what the scenarios act on, each in a state that its action mends."""
    for name, text in STAND_INS.items():
        root.write(f"/stand-ins/{name}", f"#!/bin/sh\n{text}", 0o755)
    if root.run("command -v modprobe")[0]:
        root.write("/stand-ins/modprobe", f"#!/bin/sh\n{MODPROBE}", 0o755)
    group = 42 if root.mapped else 0
    other = 7 if root.mapped else 0
    root.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o666)
    root.write("/etc/group", f"root:x:0:\nshadow:x:{group}:\n", 0o664)
    root.write("/etc/shadow", "root:*:1::::::\n", 0o604)
    root.write("/etc/gshadow", "root:*::\n", 0o644)
    root.write("/etc/ssh/sshd_config", "Port 22\n", 0o664)
    root.sh(f"chown {other}:{other} /etc/group /etc/ssh/sshd_config")
    # Blanks, tabs and a missing newline at the end are somebody's own.
    root.write(
        "/etc/fstab",
        "# /tmp is small\nUUID=1\t/\text4 \tdefaults 0 1\n\n  tmpfs  /tmp\ttmpfs  defaults,size=9m\t 0  0\n"
        "#x /tmp ext4 rw 0 0\ntmpfs /home tmpfs rw,nodev 0 0\ntmpfs /var/tmp tmpfs suid,dev\n/x /srv/x none bind 0 0",
    )
    for path, options in (
        ("/tmp", "mode=1777"),
        ("/home", "nodev,noatime"),
        ("/var/tmp", "mode=1777"),
        ("/mnt", "noexec"),
    ):
        root.sh(f"mkdir -p {path} && mount -t tmpfs -o {options} tmpfs {path}")
    for name, mode in (("open", "666"), ("setgid", "2755"), ("setuid", "4711"), ("both", "6777"), ("capable", "755")):
        root.sh(f"echo program > /srv/{name} && chown {other}:{group} /srv/{name} && chmod {mode} /srv/{name}")
    root.sh("setcap cap_net_raw,cap_net_admin+eip /srv/capable")
    hostile = "".join(f"\\{byte:03o}" for byte in HOSTILE.encode())
    root.sh(f'h="$(printf \'{hostile}\')" && echo x > "$h" && chmod 4757 "$h" && setcap cap_chown+p "$h"')
    root.sh(f"mkdir /srv/bin /srv/sticky && chmod 775 /srv/bin && chmod 3777 /srv/sticky && chown 0:{group} /srv/bin")
    root.sh(
        "mkdir -p /etc/sysctl.d /etc/modprobe.d && echo 'kernel.sysrq = 1' > /etc/sysctl.d/zz-sysscan-kernel.sysrq.conf"
    )
    root.sh("chmod 600 /etc/sysctl.d/zz-sysscan-kernel.sysrq.conf")
    for kind in ("ifb", "bridge", "veth"):
        root.run(f"ip link add x.{kind} type {kind}")
    root.sh(
        "cd /proc/sys/net/ipv4 && echo 1 > ip_forward && echo 2 > conf/lo/rp_filter && echo 0 > tcp_syncookies"
        " && echo 1 > conf/lo/accept_source_route && echo 1 > conf/all/accept_source_route"
        " && echo 0 > conf/default/forwarding && echo 0 > conf/all/rp_filter"
    )
    root.write("/etc/default/grub", "GRUB_CMDLINE_LINUX='quiet'\n")
    root.sh("update-grub")
    root.write("/etc/audit/rules.d/audit.rules", "## First rule\n-D\n\n-b 8192\n", 0o640)
    root.sh("augenrules --load")
    root.write("/etc/selinux/config", "# mode\nSELINUX=permissive\nSELINUXTYPE=targeted\n")
    root.sh("echo 0 > /run/enforce")
    body = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    for unit in ("a.service", "b.service", "c.service", "a@.service", "kept.service"):
        root.write(f"/etc/systemd/system/{unit}", body)
    root.write(
        "/etc/systemd/system/mnt.mount", "[Mount]\nWhat=tmpfs\nWhere=/mnt\nType=tmpfs\nOptions=mode=755,noexec\n"
    )
    wants = "/etc/systemd/system/multi-user.target.wants"
    root.sh(
        f"mkdir -p {wants} /etc/systemd/system/own.target.wants /etc/systemd/system/kept.service.d"
        f" && ln -s /etc/systemd/system/a.service {wants}/a.service"
        " && ln -s ../a.service /etc/systemd/system/own.target.wants/a.service"
        f" && ln -s /etc/systemd/system/b.service {wants}/b.service"
        " && echo '# mine' > /etc/systemd/system/kept.service.d/50-sysscan-PrivateTmp.conf"
        " && chmod 640 /etc/systemd/system/kept.service.d/50-sysscan-PrivateTmp.conf"
    )


def populate_packages(root: ThrowAwayRoot) -> None:
    """Give the root a repository of its own, and a package whose files were changed."""
    root.sh("mkdir -p /repo /build /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/apt/lists/partial /var/log/apt")
    root.sh(
        "mkdir -p /var/cache/apt/archives/partial /etc/apt/apt.conf.d /etc/apt/preferences.d /opt"
        " && : > /var/lib/dpkg/status"
    )
    root.write("/etc/apt/sources.list", "deb [trusted=yes] file:/repo ./\n")
    root.write("/etc/apt/apt.conf", 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
    needs = {"sysscan-tried": "sysscan-needed", "apparmor": "sysscan-needed"}
    units = {"auditd", "rsyslog", "apparmor"}
    for package in (
        "sysscan-needed", "sysscan-tried", "sysscan-there", "auditd", "rsyslog", "apparmor", "apparmor-utils",
        "apparmor-profiles",
    ):  # fmt: skip
        depends = f"Depends: {needs[package]}\n" if package in needs else ""
        about = f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
        root.write(f"/build/{package}/DEBIAN/control", f"{about}{depends}Description: x\n")
        place = package.removeprefix("sysscan-")
        for name in ("program", "library", "with blank"):
            root.sh(f"mkdir -p /build/{package}/opt/{place} && echo {name} > '/build/{package}/opt/{place}/{name}'")
        if package in units:
            unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
            root.write(f"/build/{package}/etc/systemd/system/{package}.service", unit)
        root.sh(f"dpkg-deb --root-owner-group -b /build/{package} /repo/{package}.deb")
        root.sh(
            f"cd /repo && {{ cat /build/{package}/DEBIAN/control; echo Filename: ./{package}.deb;"
            f" echo Size: $(stat -c %s {package}.deb);"
            f" echo SHA256: $(sha256sum < {package}.deb | cut -d' ' -f1); echo; }} >> Packages"
        )
    root.sh("apt-get update && apt-get install -y sysscan-there")
    root.sh("echo tampered > /opt/there/program && chmod 4755 /opt/there/program && rm '/opt/there/with blank'")
