"""Divides cases: those to train on, held-out situations of the same classes (valid), and held-out classes (holdout)."""

from collections.abc import Iterable
from typing import Literal

from pipeline.keys import digest

Split = Literal["train", "valid", "holdout"]

VALID_SHARE = 0.2

# Classes that training never sees, from many scanners, each with the reason. What the model says about them shows
# whether it understands words, features and candidates, or has learned classes by heart.
CLASS_HOLDOUT: dict[str, str] = {
    "auditd.chown": "six sisters stay: the plainest transfer",
    "ebpf_exec_trace.net_connect": "features that no other class has",
    "ioc.suspicious_environment": "shares its features with three sisters, and its level rises with them",
    "kernel_hardening.sysctl_accept_redirects": "one kernel setting among many",
    "kernel_params.rp_filter": "its twin in another scanner stays, with an artefact of the same kind",
    "mac.selinux": "many states of its own; the other system of access control stays",
    "modules.anomaly_missing_file": "evidence and readings are those of its sisters",
    "mounts.sensitive_nosuid_missing": "place and option are known apart, not together",
    "network.udp_socket": "services that are known from TCP, and some that are not",
    "pci_compliance.3_4": "a label of the scanner that is wrong",
    "suid_sgid.usr_local": "owner, imitation and tools as for other set-id files",
    "systemd_units.ProtectKernelTunables": "one of thirteen directives; role and advice are known",
    "world_writable.path_dir": "a directory where the sisters are files",
}


def split_situations(situations: Iterable[tuple[str, str, str]], seed: int) -> dict[str, Split]:
    """Assign each situation, given as (situation, class, severity), to one split.

    Training and held-out situations are drawn 80 to 20 within each class and severity; what is left over of a small
    group is carried to the next one of its class, so that rare severities do not all end in training. The first
    situation of every class is trained on. A situation with several severities counts for the first, in order.
    """
    groups: dict[tuple[str, str], dict[str, None]] = {}
    known: set[str] = set()
    found: dict[str, Split] = {}
    for situation, class_id, severity in sorted(situations):
        if situation in known:
            continue
        known.add(situation)
        if class_id in CLASS_HOLDOUT:
            found[situation] = "holdout"
        else:
            groups.setdefault((class_id, severity), {})[situation] = None
    owed: dict[str, float] = {}
    for (class_id, _), members in sorted(groups.items()):
        for situation in sorted(members, key=lambda one: digest("split", seed, one)):
            if class_id not in owed:
                owed[class_id] = 0.0
                found[situation] = "train"
                continue
            owed[class_id] += VALID_SHARE
            if owed[class_id] >= 1 - 1e-9:
                owed[class_id] -= 1
                found[situation] = "valid"
            else:
                found[situation] = "train"
    return found
