"""Findings about kernel modules."""

from collections.abc import Iterator

from trainer.data.world.host import Host, Raw

_TREES = (
    "kernel/drivers/net/{}.ko", "kernel/fs/{}.ko.xz", "kernel/drivers/net/ethernet/nvidia/{}.ko", "updates/dkms/{}.ko",
    "updates/{}.ko.zst", "extra/{}.ko", "weak-updates/{}.ko", "kernel/nvidia-535/{}.ko", "misc/{}.ko",
    "kernel/crypto/{}.ko.gz",
)  # fmt: skip
_INVENTED = ("foo_helper", "zz9", "custom_drv", "netsniff")
_TEXTS = {
    "hidden_sysfs": "Module in /proc but not /sys",
    "missing_file": "Module file missing on disk",
    "out_of_tree": "Out-of-tree kernel module",
    "unsigned": "Unsigned kernel module detected",
}


def anomalies(host: Host) -> Iterator[Raw]:
    """Modules that the scanner finds something wrong with; the first flag names the finding."""
    rng = host.rng
    for name in _names(host, 14):
        flags = [flag for flag in ("unsigned", "out_of_tree", "missing_file", "hidden_sysfs") if host.chance(0.3)]
        if not flags:
            flags = ["unsigned"]
        metadata = dict.fromkeys(flags, "true")
        if host.chance(0.75):
            metadata["path"] = rng.choice(_TREES).format(name.replace("_", "-") if host.chance(0.3) else name)
        for flag, value, share in (
            ("wx_section", "true", 0.08),
            ("large_text_section", "6291456", 0.08),
            ("suspicious_section_name", ".evil", 0.08),
        ):
            if host.chance(share):
                metadata[flag] = value
        text = next(text for flag, text in _TEXTS.items() if flag in flags)
        yield Raw("modules", name, "high", f"Module anomaly: {name}", text, metadata)


def loaded(host: Host) -> Iterator[Raw]:
    """Modules as inventory."""
    for name in _names(host, 16):
        yield Raw("modules", name, "info", f"Module {name}", "Loaded kernel module")


def summary(host: Host) -> Iterator[Raw]:
    """The roll-up that stands for all modules."""
    rng = host.rng
    names = _names(host, 5)
    unsigned = names[: rng.choice((0, 0, 2))]
    missing = names[3 : 3 + rng.choice((0, 0, 1))]
    hidden, foreign, taint = (
        rng.choice(("0", "0", "0", "1")),
        rng.choice(("0", "0", "2")),
        rng.choice(("0", "4096", "8192", "12288", "2")),
    )
    metadata = {
        "total": "47", "sample_count": "5", "sample_list": ",".join(names), "unsigned": str(len(unsigned)),
        "missing_file": str(len(missing)), "hidden_proc_only": hidden, "likely_out_of_tree": foreign,
        "taint_value": taint,
        "compressed": "40", "sysfs_only_count": rng.choice(("0", "1")), "kallsyms_readable": "yes",
        "kallsyms_sampled": "5000",
    }  # fmt: skip
    if metadata["sysfs_only_count"] == "1":
        metadata["sysfs_only_list"] = rng.choice(("kernel", "zz9"))
    if unsigned:
        metadata["unsigned_list"] = ",".join(unsigned)
    if missing:
        metadata["missing_file_list"] = ",".join(missing)
    worst = unsigned or missing or hidden != "0" or metadata["sysfs_only_count"] != "0"
    severity = "high" if worst else "medium" if foreign != "0" else "info"
    yield Raw(
        "modules", "module_summary", severity, "Kernel Module Summary",  # type: ignore[arg-type]
        "Summary of loaded kernel modules and potential security issues", metadata,
    )  # fmt: skip


def _names(host: Host, count: int) -> list[str]:
    modules = host.knowledge.modules
    special = [
        name for name, fact in modules.items() if fact.blockable or fact.family == "rootkit" or fact.large or fact.file
    ]
    rng = host.rng
    names = rng.sample(list(modules), count // 2) + rng.sample(special, count // 2) + [rng.choice(_INVENTED)]
    rng.shuffle(names)
    return list(dict.fromkeys(names))[:count]
