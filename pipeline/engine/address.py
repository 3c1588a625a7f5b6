"""The address of a model server on this machine: loopback or a UNIX socket, and nothing else.

No name is ever looked up, so none can lead elsewhere.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

_UNIX = "unix:"
_LOCALHOST = "127.0.0.1"  # what localhost is taken for, whatever a resolver says
_WANTED = "give http://127.0.0.1:PORT or unix:/PATH/OF/SOCKET"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model server listens.

    Attributes:
        text: as people write it.
        socket: path of a UNIX socket, or None.
        host, port: of loopback, where there is no socket.
    """

    text: str
    socket: str | None = None
    host: str = ""
    port: int = 0


def parse_address(text: str) -> Address:
    """Read ``http://127.0.0.1:8080``, with ``/v1`` or without, or ``unix:/run/model.sock``.

    Raises:
        ValueError: if it is another machine's, or none.
    """
    if not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address; {_WANTED}")
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/") or len(path.encode()) > 107:  # what the kernel takes
            raise ValueError(f"{text} is no absolute path of a socket; {_WANTED}")
        return Address(text, socket=path)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text} is no address: {error}; {_WANTED}") from error
    if parts.scheme != "http" or host is None or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{text} is not an address of this machine alone; {_WANTED}")
    if parts.path not in ("", "/", "/v1", "/v1/"):
        raise ValueError(f"{text}: only /v1 may follow the port; {_WANTED}")
    host = _LOCALHOST if host == "localhost" else host
    if not _is_loopback(host):
        raise ValueError(f"{text} is not an address of this machine alone; {_WANTED}")
    if not port:
        raise ValueError(f"{text} has no port; {_WANTED}")
    shown = f"[{host}]" if ":" in host else host
    return Address(f"http://{shown}:{port}", host=host, port=port)


def _is_loopback(host: str) -> bool:
    try:
        literal = ip_address(host)
    except ValueError:  # a name, or a number that only a resolver would understand
        return False
    return literal.is_loopback and getattr(literal, "ipv4_mapped", None) is None
