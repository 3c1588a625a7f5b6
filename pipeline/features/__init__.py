"""Functions that turn values of a finding into words of a closed vocabulary, for rules to test and prompts to show."""

from importlib import import_module
from pkgutil import iter_modules

from pipeline.features.registry import FEATURES, Feature


def load_features() -> dict[str, Feature]:
    """Import every module of this package, each of which registers its functions, and return the table."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return FEATURES
