"""TLS as all sinks speak it: the other side proves who it is, always."""

import ssl

from daemon.sinks.network.settings import NetworkSettings
from pipeline.errors import SinkError

_WAIT_S = 30.0  # a file, or a certificate, does not change by itself


def client_context(settings: NetworkSettings) -> ssl.SSLContext:
    """Make what a connection is secured with: TLS 1.2 or newer, host name and chain checked.

    Raises:
        SinkError: when a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            # Without an answer for an encrypted key the library asks the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        files = [str(one) for one in (settings.ca_file, settings.cert_file, settings.key_file) if one is not None]
        reason = error.strerror or error
        raise SinkError(
            f"{', '.join(files)}: {reason}; PEM files are wanted, the key not encrypted", wait_s=_WAIT_S
        ) from error
    return context


def refused(place: str, error: ssl.SSLError) -> SinkError:
    """Say why a connection was not made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = " ".join(str(error.verify_message).split())
        return SinkError(
            f"{place}: its certificate is refused: {reason}; have it renewed there, or name its authority in ca_file",
            wait_s=_WAIT_S,
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return SinkError(f"{place}: no TLS: {reason}; see that it speaks TLS and takes this agent's certificate")
