"""Mounts: the mount point, the kind of file system, and which protective options are missing."""

from pipeline.features.registry import FeatureContext, feature

_MOUNT_POINTS = frozenset(
    {
        "/tmp",  # noqa: S108 - compared with, never opened; so below
        "/var/tmp",  # noqa: S108
        "/dev/shm",  # noqa: S108
        "/home", "/var", "/var/log", "/var/log/audit", "/var/lib", "/boot", "/boot/efi", "/efi", "/opt", "/srv",
        "/usr", "/usr/local", "/mnt", "/media", "/run",
    }
)  # fmt: skip
_FILE_SYSTEMS = frozenset({"tmpfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "vfat", "overlay"})
_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "virtiofs", "afs"})
_PROTECTIVE = ("nosuid", "nodev", "noexec")


@feature
def mount_place(context: FeatureContext, mountpoint: str | None) -> str | None:
    """Return a well-known mount point as it is, ``below_home`` for a directory in /home, else ``other``."""
    if mountpoint is None:
        return None
    for known in _MOUNT_POINTS:
        if mountpoint == known:
            return known
    return "below_home" if mountpoint.startswith("/home/") else "other"


@feature
def mount_filesystem(context: FeatureContext, fstype: str | None) -> str | None:
    """Return a well-known file-system type as it is, else ``network``, ``fuse`` or ``other``."""
    if fstype is None:
        return None
    for known in _FILE_SYSTEMS:
        if fstype == known:
            return known
    if fstype in _NETWORK_FILE_SYSTEMS:
        return "network"
    return "fuse" if fstype == "fuse" or fstype.startswith("fuse.") else "other"


@feature
def mount_missing(context: FeatureContext, options: str | None) -> str | None:
    """Return which of nosuid, nodev and noexec a mount lacks, joined by ``+``, or ``none``."""
    if options is None:
        return None
    given = frozenset(options.split(","))
    return "+".join(option for option in _PROTECTIVE if option not in given) or "none"
