"""Features of kernel modules."""

import pytest

from pipeline.features.modules import kernel_addresses, module_summary, module_taint, module_tree
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge, ModuleFact

_LIST = {
    "ext4": ModuleFact(family="filesystem", large=True),
    "loop": ModuleFact(family="storage"),
    "kvm_amd": ModuleFact(family="hypervisor", file="kvm-amd"),
    "printk": ModuleFact(family="builtin"),
    "reptile": ModuleFact(family="rootkit"),
}


def context(os_id: str = "debian", os_version: str | None = None, euid: str | None = None) -> FeatureContext:
    header = ScanHeader(source_format="json", os_id=os_id, os_version=os_version, euid=euid)
    return FeatureContext(header=header, knowledge=Knowledge(modules=_LIST), profile="default")


def summary(where: FeatureContext, **values: str) -> str | None:
    order = (
        "unsigned", "unsigned_list", "compressed_unsigned_list", "compressed", "missing", "missing_list", "hidden",
        "out_of_tree", "sysfs_only", "sysfs_only_list", "sample_list", "out_of_tree_list", "hidden_list",
    )  # fmt: skip
    assert set(values) <= set(order)
    zero = {"unsigned": "0", "missing": "0", "hidden": "0", "out_of_tree": "0", "sysfs_only": "0"} | values
    return module_summary(where, *(zero.get(name) for name in order))


@pytest.mark.parametrize(
    ("taint", "word"),
    [
        ("0", "clear"),
        ("512", "clear"),  # a warning was printed: no module's doing
        ("4096", "out_of_tree"),
        ("8192", "unsigned"),
        ("12289", "out_of_tree+unsigned"),
        ("2", "forced"),
        ("", None),
        ("-1", None),
        ("٣", None),
        (None, None),
        ("9" * 400, None),
    ],
)
def test_taint_is_read_from_the_number(taint: str | None, word: str | None) -> None:
    assert module_taint(context(), taint) == word


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        ("kernel/fs/ext4/ext4.ko", "kernel"),
        ("kernel/nvidia-550/nvidia.ko", "kernel_addon"),
        ("kernel/ext4.ko", "kernel_addon"),
        ("updates/dkms/zfs.ko.xz", "dkms"),
        ("updates/x.ko", "updates"),
        ("weak-updates/kmod/x.ko", "weak_updates"),
        ("extra/x.ko", "extra"),
        ("../../tmp/kernel/fs/x.ko", "other"),
        ("", "other"),
    ],
)
def test_tree_goes_by_the_first_directory(path: str, tree: str) -> None:
    assert module_tree(context(), path) == tree


def test_a_summary_without_any_count_is_clean() -> None:
    assert summary(context()) == "clean"
    assert module_summary(context(), *[None] * 13) is None


def test_listed_mistakes_explain_a_summary_only_when_the_list_is_whole() -> None:
    assert summary(context(), unsigned="1", unsigned_list="kvm_amd", missing="1", missing_list="kvm_amd") == "explained"
    assert summary(context(), unsigned="6", unsigned_list="kvm_amd") == "unsigned"
    assert summary(context(), unsigned="2", unsigned_list="kvm_amd,loop") == "unsigned"


def test_a_large_module_is_excused_only_when_it_is_compressed() -> None:
    assert summary(context(), unsigned="1", unsigned_list="ext4", compressed_unsigned_list="ext4") == "explained"
    assert summary(context(), unsigned="1", unsigned_list="ext4") == "unsigned"


def test_where_no_module_file_is_found_by_name_the_sample_stands_for_all() -> None:
    stock = {"unsigned": "29", "unsigned_list": "loop,ext4", "missing": "29", "missing_list": "loop", "compressed": "0"}
    assert summary(context("ubuntu", "24.04"), **stock) == "explained"
    assert summary(context("ubuntu", "22.04"), **stock) == "missing_file+unsigned"
    assert summary(context("ubuntu", "rolling"), **stock) == "missing_file+unsigned"
    assert summary(context("arch"), **stock) == "explained"
    assert summary(context("ubuntu", "24.04"), **(stock | {"missing_list": "acme"})) == "unread"


def test_built_in_code_explains_sysfs_only_and_an_unknown_name_does_not() -> None:
    assert summary(context(), sysfs_only="1", sysfs_only_list="printk") == "explained"
    assert summary(context(), sysfs_only="2", sysfs_only_list="printk,acme") == "sysfs_only"


def test_hidden_foreign_and_rootkit_modules_are_never_explained() -> None:
    assert summary(context(), hidden="1") == "hidden"
    assert summary(context(), out_of_tree="1") == "out_of_tree"
    assert summary(context(), sysfs_only="1", sysfs_only_list="reptile") == "rootkit_name+sysfs_only"
    assert summary(context(), sample_list="loop,reptile") == "rootkit_name"


def test_kernel_addresses_that_root_sees_are_no_exposure() -> None:
    assert kernel_addresses(context(euid="0"), "yes", "5000", None) == "root"
    assert kernel_addresses(context(euid="1000"), "yes", "5000", None) == "visible"
    assert kernel_addresses(context(euid="1000"), "yes", "5000", "true") == "hidden"
    assert kernel_addresses(context(euid="1000"), "no", None, None) is None
    assert kernel_addresses(context(), "yes", "5000", None) is None
