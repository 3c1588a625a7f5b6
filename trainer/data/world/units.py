"""Findings about the settings of services."""

from collections.abc import Iterator

from trainer.data.world.host import Host, Raw

# directive: wanted value, description when set and when not, severity, other values.
_DIRECTIVES = {
    "NoNewPrivileges": ("yes", "NoNewPrivileges enforced", "NoNewPrivileges not set to yes", "medium"),
    "PrivateTmp": ("yes", "PrivateTmp enabled", "PrivateTmp not enabled", "low"),
    "ProtectSystem": ("strict", "ProtectSystem strict", "ProtectSystem not strict", "medium"),
    "ProtectHome": ("read-only", "ProtectHome read-only", "ProtectHome not read-only", "low"),
    "CapabilityBoundingSet": (
        "",
        "CapabilityBoundingSet present",
        "CapabilityBoundingSet not present (no reduction)",
        "low",
    ),
    "RestrictNamespaces": ("yes", "RestrictNamespaces enabled", "RestrictNamespaces not enabled", "low"),
    "RestrictSUIDSGID": ("yes", "RestrictSUIDSGID enabled", "RestrictSUIDSGID not enabled", "low"),
    "ProtectKernelModules": ("yes", "ProtectKernelModules enabled", "ProtectKernelModules not enabled", "low"),
    "ProtectKernelTunables": ("yes", "ProtectKernelTunables enabled", "ProtectKernelTunables not enabled", "low"),
    "ProtectControlGroups": ("yes", "ProtectControlGroups enabled", "ProtectControlGroups not enabled", "low"),
    "MemoryDenyWriteExecute": ("yes", "MemoryDenyWriteExecute enabled", "MemoryDenyWriteExecute not enabled", "low"),
    "RestrictRealtime": ("yes", "RestrictRealtime enabled", "RestrictRealtime not enabled", "low"),
    "LockPersonality": ("yes", "LockPersonality enabled", "LockPersonality not enabled", "low"),
}
_BOUNDS = ("CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN CAP_SETUID", "~CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_SYS_PTRACE", "~")
_VALUES = {
    "ProtectSystem": ("full", "yes", "no", "maybe"),
    "ProtectHome": ("yes", "tmpfs", "no", "perhaps"),
    "PrivateTmp": ("true", "disconnected", "no", "sure"),
    "ProtectControlGroups": ("strict", "true", "no", "x"),
    "RestrictNamespaces": ("~user", "cgroup ipc", "on", "no", "x y"),
}
_STRANGE = (
    "app-worker.service",
    "acme@.service",
    "billing.service",
    "ssh.service.dpkg-old",
    "x.service~",
    "ümlaut.service",
)


def settings(host: Host) -> Iterator[Raw]:
    """What each unit sets, or does not set."""
    rng = host.rng
    units = rng.sample(sorted(host.knowledge.units), 9) + rng.sample(_STRANGE, 2)
    for unit in units:
        for directive, (wanted, good, bad, severity) in _DIRECTIVES.items():
            metadata = {"expected": wanted, "key": directive, "unit": unit}
            draw = rng.random()
            if draw < 0.6:
                fine, text = False, f"{bad} (missing)"
            else:
                value = _value(host, directive, wanted) if draw < 0.85 else wanted
                fine = bool(value) if directive == "CapabilityBoundingSet" else value == wanted
                text = good if fine else bad
                metadata["value"] = value
            yield Raw(
                "systemd_units", f"systemd:{directive}:{unit}", "info" if fine else severity, f"{unit} {directive}",  # type: ignore[arg-type]
                text, metadata,
            )  # fmt: skip


def _value(host: Host, directive: str, wanted: str) -> str:
    if directive == "CapabilityBoundingSet":
        return host.rng.choice(_BOUNDS)
    return host.rng.choice((wanted, *_VALUES.get(directive, ("true", "on", "1", "no", "what"))))
