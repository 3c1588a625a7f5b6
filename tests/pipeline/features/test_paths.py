import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.paths import (
    name_shape,
    path_interpreter,
    path_kind,
    path_lookalike,
    path_owner,
    path_package,
    path_place,
    path_usr_alias,
)
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge, PathFact

KNOWN = Knowledge(
    paths={
        "/usr/bin/sudo": PathFact(package="sudo", role="switch_user", setuid=True),
        "/usr/bin/su": PathFact(package="util-linux", role="switch_user", setuid=True),
        "/usr/bin/ping": PathFact(package="iputils-ping", role="network_probe", capability="cap_net_raw"),
        "/usr/bin/unix_chkpwd": PathFact(package="pam", role="password_check", setuid=True, distros=["arch"]),
    }
)


def on(os_id: str | None) -> FeatureContext:
    return FeatureContext(ScanHeader("json", os_id=os_id), KNOWN, "default")


HERE = on("debian")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/usr/bin/ls", "system_bin"),
        ("/bin/ls", "system_bin"),
        ("/sbin/init (deleted)", "system_bin"),
        ("/lib/systemd/systemd", "system_lib"),
        ("/usr/local/bin/x", "usr_local"),
        ("/usr/localx/bin", "system_other"),
        ("/tmp/x", "tmp"),
        ("/tmpfs/x", "other"),
        ("/var/tmp/x", "tmp"),
        ("/dev/shm/x", "shm"),
        ("/var/lib/docker/overlay2/a/b", "container_storage"),
        ("/var/log/x.log", "var_log"),
        ("/home/alice/tool", "home"),
        ("/homes/alice/tool", "other"),
        ("/memfd:x (deleted)", "memory"),
        ("bin/ls", "relative"),
        ("/usr/bin/../../tmp/x", "other"),
        ("/", "other"),
        ("", "relative"),
    ],
)
def test_a_path_lies_where_its_whole_components_say(path: str, place: str) -> None:
    assert path_place(HERE, path) == place


def test_coarse_places_join_the_temporary_ones() -> None:
    assert {path_place(HERE, path, coarse="true") for path in ("/tmp/x", "/dev/shm/x", "/run/user/0/x")} == {
        "temporary"
    }


@pytest.mark.parametrize(
    ("os_id", "path", "owner"),
    [
        ("debian", "/usr/bin/sudo", "distribution"),
        ("debian", "/bin/sudo", "distribution"),
        (None, "/usr/bin/unix_chkpwd", "distribution"),
        ("arch", "/usr/bin/unix_chkpwd", "distribution"),
        ("debian", "/usr/bin/unix_chkpwd", "other_distribution"),
        ("debian", "/usr/bin/x/sudo", "name_only"),
        ("debian", "/usr/bin/ping", "none"),  # known with a capability, not set-id
        ("debian", "/usr/bin/implant", "none"),
    ],
)
def test_the_distribution_owns_a_set_id_path_only_in_its_own_place(os_id: str | None, path: str, owner: str) -> None:
    assert path_owner(on(os_id), path) == owner


def test_capabilities_and_set_id_bits_are_owned_apart() -> None:
    assert path_owner(HERE, "/bin/ping", privilege="capability") == "distribution"
    assert path_owner(HERE, "/bin/sudo", privilege="capability") == "none"


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/usr/bin/su", None),
        ("/usr/bin/su.bak", "variant"),
        ("/usr/bin/.sudo", "variant"),
        ("/usr/bin/SUDO", "variant"),
        ("/usr/bin/sudo\u200b", "homoglyph"),
        ("/usr/bin/ѕudо", "homoglyph"),
        ("/usr/bin/sud0", "homoglyph"),
        ("/usr/bin/sduo", "near"),
        ("/usr/bin/sudoo", "near"),
        ("/usr/bin/suo", None),
        ("/usr/bin/staprun", None),
    ],
)
def test_names_that_imitate_a_set_id_program_are_told(path: str, how: str | None) -> None:
    assert path_lookalike(HERE, path) == how


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/usr/local/bin/libhelper.so.1", "library"),
        ("/srv/x.sock", "data"),
        ("/etc/shadow", "account"),
        ("/etc/sudoers.d/x", "account"),
        ("/etc/ld.so.preload", "startup"),
        ("/etc/cron.d/job", "schedule"),
        ("/usr/local/bin/deploy-hook.sh", "script"),
        ("/usr/local/bin/pg-backup", "program"),
        ("/etc/app.conf", "config"),
        ("/etc/hostname", "config"),
        ("/var/shared.log", "log"),
        ("/srv/drop/upload 2.tmp", "temporary"),
        ("/etc/ssh/id.key", "key"),
        ("/srv/.profile", "data"),
    ],
)
def test_a_name_promises_a_kind_of_file(path: str, kind: str) -> None:
    assert path_kind(HERE, path) == kind


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("/usr/bin/plain-name_1.2", None),
        ("/srv/a b", "spaces"),
        ("/srv/.hidden", "hidden"),
        ("/srv/naïve", "non_ascii"),
        ("/srv/x\n", "control"),
        ("/srv/x\u2028y", "control"),
        ("/srv/\x1b[2Jx", "control"),
        ("/srv/gnp\u202ej", "invisible"),
        ("/srv/a\U000e0041", "invisible"),
        ("/srv/a\\xff", "not_utf8"),
        ("/srv/<|im_end|>", "shell_characters"),
        ("/srv/$(reboot)", "shell_characters"),
        ("/srv/", None),
    ],
)
def test_odd_characters_of_a_name_are_classed(name: str, shape: str | None) -> None:
    assert name_shape(HERE, name) == shape


def test_bin_repeats_usr_bin_where_the_distribution_is_known_to_be_merged() -> None:
    assert path_usr_alias(on("debian"), "/bin/ping") == "likely"
    assert path_usr_alias(on(None), "/bin/ping") == "possible"
    assert path_usr_alias(on("debian"), "/usr/bin/ping") is None
    assert path_usr_alias(on("debian"), "/binaries/x") is None


def test_an_absent_slot_says_nothing() -> None:
    for function in (path_place, path_owner, path_package, path_kind, path_lookalike, path_interpreter, name_shape):
        assert function(HERE, None) is None


@given(st.text(max_size=80))
def test_no_part_of_a_path_comes_out(text: str) -> None:
    path = f"/usr/bin/{text}"
    words = {
        path_place(HERE, path), path_owner(HERE, path), path_package(HERE, path), path_kind(HERE, path),
        path_lookalike(HERE, path), name_shape(HERE, path), path_usr_alias(HERE, path), path_interpreter(HERE, path),
    }  # fmt: skip
    assert words <= VOCABULARY


VOCABULARY = {
    None, "system_bin", "other", "distribution", "other_distribution", "name_only", "none", "sudo", "util-linux", "pam",
    "iputils-ping", "variant", "homoglyph", "near", "control", "invisible", "not_utf8", "shell_characters", "hidden",
    "non_ascii", "spaces", "interpreter", "script", "library", "config", "unit", "log", "key", "database", "archive",
    "backup", "temporary", "program",
}  # fmt: skip
