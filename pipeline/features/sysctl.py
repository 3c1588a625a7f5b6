"""Values of kernel parameters, as far as the knowledge lists them."""

from pipeline.features.registry import FeatureContext, feature

_SYSRQ_ALL = 1
_SYSRQ_KILL_OR_DUMP = 8 | 64  # dump memory and registers; signal every process, the OOM killer
_SYSRQ_REBOOT = 128
_SYSRQ_KNOWN = 0x1FF


@feature
def sysctl_value(context: FeatureContext, value: str | None, *, literals: str) -> str | None:
    """Return the value if it is one of `literals` (separated by commas), else ``other``."""
    if value is None:
        return None
    return _spelled(value.strip(), literals)


@feature
def sysrq_functions(context: FeatureContext, value: str | None) -> str | None:
    """Return what the SysRq bit mask allows at a console, by its most dangerous bit.

    ``none``, ``harmless`` (sync, remount read-only, log level, keyboard, nice), ``reboot``, ``kill_or_dump``,
    ``all``, or ``other`` for what is not a mask.

    Source: Linux kernel, Documentation/admin-guide/sysrq.rst.
    """
    if value is None:
        return None
    text = value.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return "other"
    mask = int(text)
    if mask == 0:
        return "none"
    if mask == _SYSRQ_ALL:
        return "all"
    if mask & ~_SYSRQ_KNOWN:
        return "other"
    if mask & _SYSRQ_KILL_OR_DUMP:
        return "kill_or_dump"
    return "reboot" if mask & _SYSRQ_REBOOT else "harmless"


def _spelled(value: str, literals: str) -> str:
    for literal in literals.split(","):
        if literal == value:
            return literal
    return "other"
