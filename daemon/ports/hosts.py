"""What a host may be called so that its name tells it from others."""

UNKNOWN_HOST = "unknown"
# What a host is called that nobody has named: by distributions, by the kernel, and by our own output.
NO_HOST = frozenset(
    {
        "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6",
        "localhost6.localdomain6", "(none)", "127.0.0.1", "::1", UNKNOWN_HOST,
    }
)  # fmt: skip


def names_one(claimed: str | None) -> bool:
    """Say whether a name is that of one host: a name that every host has for itself names none."""
    return bool(claimed) and claimed is not None and claimed.casefold().rstrip(".") not in NO_HOST
