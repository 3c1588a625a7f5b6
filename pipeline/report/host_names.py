"""Names that a report gives its host and that name none."""

UNKNOWN_HOST = "unknown"
# What a host is called that nobody has named: by distributions, by the kernel, and by our own output.
NO_HOST = frozenset(
    {
        "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6",
        "localhost6.localdomain6", "(none)", "127.0.0.1", "::1", UNKNOWN_HOST,
    }
)  # fmt: skip


def names_one(claimed: str | None) -> bool:
    """Say whether what a report calls its host tells it from others."""
    return bool(claimed) and claimed is not None and folded(claimed) not in NO_HOST


def folded(name: str) -> str:
    """Give the form in which names of hosts are compared: without case, and without the dot of the root."""
    return name.casefold().rstrip(".")
