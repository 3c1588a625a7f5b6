"""Functions that turn values of a finding into words of a closed vocabulary, for rules to test and prompts to show.

All of them are imported with the package: what the program is made of is there before it starts, or it does not start.
"""

from pipeline.features import (  # noqa: F401 - each registers its functions
    containers,
    exec_trace,
    integrity,
    mac,
    modules,
    mounts,
    network,
    paths,
    process,
    scanner_error,
    sysctl,
    systemd,
)
from pipeline.features.registry import FEATURES, Feature


def load_features() -> dict[str, Feature]:
    """Return the table of all feature functions."""
    return FEATURES
