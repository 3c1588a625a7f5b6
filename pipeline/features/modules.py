"""Kernel modules: what kind of module it is, and how reliable the scanner's claim about it is."""

import re
from collections.abc import Iterable

from pipeline.features.registry import FeatureContext, feature
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

# Distributions whose modules are .ko.zst files, with the first release that has them. The scanner does not strip this
# suffix, so it finds none of these modules by name.
_ZSTD_SINCE = {
    "ubuntu": 23.04, "pop": 23.04, "neon": 23.04, "tuxedo": 23.04, "linuxmint": 22.0, "zorin": 18.0, "elementary": 8.0,
}  # fmt: skip
_ZSTD = frozenset(
    {"arch", "artix", "cachyos", "endeavouros", "garuda", "manjaro", "opensuse-tumbleweed", "opensuse-leap", "sles"}
)
_FLAGS = (
    "unsigned", "out_of_tree", "missing_file", "hidden_sysfs", "wx_section", "large_text_section",
    "suspicious_section_name",
)  # fmt: skip
_SUBTREES = frozenset(
    {"arch", "block", "certs", "crypto", "drivers", "fs", "init", "ipc", "kernel", "lib", "mm", "net", "samples",
     "security", "sound", "virt"}
)  # fmt: skip
_SUFFIX = re.compile(r"\.ko(?:\.([a-z0-9]{2,4}))?\Z")

# Bits of /proc/sys/kernel/tainted that loading a module sets (Documentation/admin-guide/tainted-kernels.rst).
_FORCED, _OUT_OF_TREE, _UNSIGNED = 1 << 1, 1 << 12, 1 << 13


@feature
def module_family(context: FeatureContext, module: str | None) -> str | None:
    """Return the family of a module; ``unlisted`` for one that is not in our list."""
    if module is None:
        return None
    fact = context.knowledge.modules.get(module)
    return fact.family if fact is not None else "unlisted"


@feature
def module_name(context: FeatureContext, module: str | None) -> str | None:
    """Return the module's name if the name matters: benchmarks ask to block it, or a rootkit has that name."""
    fact = context.knowledge.modules.get(module) if module is not None else None
    return module if fact is not None and (fact.blockable or fact.family == "rootkit") else None


@feature
def module_evidence(context: FeatureContext, *values: str | None) -> str | None:
    """Join the anomalies that the scanner reports, given in the order of `_FLAGS`; None where there are none."""
    return "+".join(_flagged(values)) or None


@feature
def module_tree(context: FeatureContext, path: str | None) -> str | None:
    """Return the part of /lib/modules/RELEASE that a module file is in.

    ``kernel`` (the kernel's own tree), ``kernel_addon`` (beside it, such as prebuilt vendor drivers), ``dkms``,
    ``updates``, ``weak_updates``, ``extra``, ``other``.
    """
    return _tree(path) if path is not None else None


@feature
def module_reading(context: FeatureContext, module: str | None, path: str | None, *values: str | None) -> str | None:
    """Return why the scanner made its claim; `values` are the flags in the order of `_FLAGS`.

    ``dash_in_file_name``: it looked for NAME.ko, but the file is NA-ME.ko.
    ``zstd``: it found no file because it does not know the suffix .ko.zst, or did not read the one that it found.
    ``zstd_unlisted``: the same, for a module that our lists do not have: what else may be odd about it, nobody looked.
    ``not_in_index``: it found no file, for an unknown reason.
    ``file_gone``: the index names a file that does not exist.
    ``cut_short``: it read the first 2 MiB of a compressed module that is longer, and the signature is at the end.
    ``perhaps_cut_short``: the same, for a compressed module of unknown length.
    ``word_in_path``: it took a driver of the kernel's own tree for an external one because of a word in its path.
    ``read``: nothing known contradicts the claim.
    """
    flags = _flagged(values)
    if module is None or not flags:
        return None
    if path is None:
        return _why_not_found(context.knowledge, context.header, module)
    if "missing_file" in flags:
        return "file_gone"
    if "out_of_tree" in flags and _tree(path) == "kernel":
        return "word_in_path"
    packing = _SUFFIX.search(path)
    if "unsigned" in flags and packing is not None and packing[1] == "zst":
        return "zstd"
    if "unsigned" in flags and packing is not None and packing[1] in ("xz", "gz"):
        fact = context.knowledge.modules.get(module)
        if fact is None:
            return "perhaps_cut_short"
        if fact.large:
            return "cut_short"
    return "read"


@feature
def module_taint(context: FeatureContext, taint: str | None) -> str | None:
    """Return what the kernel's taint flags say about modules loaded since boot.

    ``forced``, ``out_of_tree+unsigned``, ``out_of_tree``, ``unsigned`` or ``clear``. Taken from the number, because the
    scanner's names for the bits are wrong from bit 10 on (it calls "unsigned module" FIRMWARE_WORKAROUND).
    """
    if taint is None or not taint.isascii() or not taint.isdigit() or len(taint) > 20:
        return None
    bits = int(taint)
    if bits & _FORCED:
        return "forced"
    noted = [word for bit, word in ((_OUT_OF_TREE, "out_of_tree"), (_UNSIGNED, "unsigned")) if bits & bit]
    return "+".join(noted) or "clear"


@feature
def module_summary(
    context: FeatureContext,
    unsigned: str | None,
    unsigned_list: str | None,
    compressed_unsigned_list: str | None,
    compressed: str | None,
    missing: str | None,
    missing_list: str | None,
    hidden: str | None,
    out_of_tree: str | None,
    sysfs_only: str | None,
    sysfs_only_list: str | None,
    sample_list: str | None,
    out_of_tree_list: str | None,
    hidden_list: str | None,
) -> str | None:
    """Return what remains of a module summary without the scanner's known errors.

    ``clean`` (all counts are zero), ``explained`` (all are known errors), or the rest, joined: ``rootkit_name``,
    ``hidden``, ``unread`` (no module file of this distribution is read, and our lists do not have all modules that the
    scanner names), ``missing_file``, ``unsigned``, ``out_of_tree``, ``sysfs_only``.
    """
    counts = {
        "hidden": _count(hidden),
        "missing_file": _count(missing),
        "unsigned": _count(unsigned),
        "out_of_tree": _count(out_of_tree),
        "sysfs_only": _count(sysfs_only),
    }
    if unsigned is None and missing is None and hidden is None:
        return None
    knowledge, header = context.knowledge, context.header
    short = frozenset(_names(compressed_unsigned_list))
    named = (sample_list, unsigned_list, missing_list, out_of_tree_list, hidden_list, sysfs_only_list)
    left = []
    if any(_is(knowledge, name, "rootkit") for names in named for name in _names(names)):
        left.append("rootkit_name")
    if counts["hidden"]:
        left.append("hidden")
    # Where no module file is found by name at all, the counts have that one cause, and say nothing about any module.
    none_found = _zstd_host(header) and compressed == "0"
    for word, listed in (("missing_file", _names(missing_list)), ("unsigned", _names(unsigned_list))):
        if not counts[word]:
            continue
        if none_found:
            if "unread" not in left and not all(_misread(knowledge, header, name, False) for name in listed):
                left.append("unread")
            continue
        whole = len(listed) >= counts[word]  # the lists are samples of five
        if not (whole and all(_misread(knowledge, header, name, name in short) for name in listed)):
            left.append(word)
    if counts["out_of_tree"]:
        left.append("out_of_tree")
    if counts["sysfs_only"] and not all(_is(knowledge, name, "builtin") for name in _names(sysfs_only_list)):
        left.append("sysfs_only")
    if left:
        return "+".join(left)
    return "explained" if any(counts.values()) else "clean"


@feature
def kernel_addresses(
    context: FeatureContext, readable: str | None, sampled: str | None, all_zero: str | None
) -> str | None:
    """Return who can read kernel addresses: ``visible`` to an ordinary user, ``root`` only, or ``hidden``."""
    if readable != "yes" or not _count(sampled) or context.header.euid is None:
        return None
    if all_zero == "true":
        return "hidden"
    return "root" if context.header.euid == "0" else "visible"


def _flagged(values: Iterable[str | None]) -> list[str]:
    return [name for name, value in zip(_FLAGS, values, strict=True) if value not in (None, "", "false")]


def _tree(path: str) -> str:
    parts = path.removeprefix("./").split("/")
    if parts[0] == "kernel":
        return "kernel" if len(parts) > 2 and parts[1] in _SUBTREES else "kernel_addon"
    if "dkms" in parts:
        return "dkms"
    return {"updates": "updates", "weak-updates": "weak_updates", "extra": "extra"}.get(parts[0], "other")


def _why_not_found(knowledge: Knowledge, header: ScanHeader, module: str) -> str:
    fact = knowledge.modules.get(module)
    if fact is not None and fact.family == "rootkit":
        return "not_in_index"
    if fact is not None and fact.file is not None:
        return "dash_in_file_name"
    if not _zstd_host(header):
        return "not_in_index"
    # There no module is found by its name, stock or not; so that this one was not found says nothing about it.
    return "zstd" if fact is not None else "zstd_unlisted"


def _misread(knowledge: Knowledge, header: ScanHeader, module: str, compressed: bool) -> bool:
    fact = knowledge.modules.get(module)
    if compressed:
        return fact is not None and fact.large
    return _why_not_found(knowledge, header, module) not in ("not_in_index", "zstd_unlisted")


def _zstd_host(header: ScanHeader) -> bool:
    os_id = header.os_id or ""
    since = _ZSTD_SINCE.get(os_id)
    if since is None:
        return os_id in _ZSTD
    try:
        return float(header.os_version or "") >= since
    except ValueError:
        return False


def _is(knowledge: Knowledge, module: str, family: str) -> bool:
    fact = knowledge.modules.get(module)
    return fact is not None and fact.family == family


def _names(joined: str | None) -> list[str]:
    return joined.split(",") if joined else []


def _count(value: str | None) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 10 else 0
