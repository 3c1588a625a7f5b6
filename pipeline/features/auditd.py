"""What the scan could read of the audit configuration."""

from pipeline.features.registry import FeatureContext, feature


@feature
def scan_rights(context: FeatureContext) -> str:
    """Say with whose rights the scanner ran: ``root``, ``user``, or ``unknown`` where the report does not tell.

    Audit rules are readable for root only; to others they look missing.
    """
    euid = context.header.euid
    if euid is None:
        return "unknown"
    return "root" if euid == "0" else "user"
