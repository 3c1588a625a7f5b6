"""A strict reader of RFC 5424, written from its grammar and nothing of ours."""

import re
from dataclasses import dataclass

_HEAD = re.compile(
    rb"<(?P<pri>0|[1-9][0-9]{0,2})>1 (?P<time>-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    rb"(?:Z|[+-][0-9]{2}:[0-9]{2})) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128})"
    rb" (?P<msgid>[!-~]{1,32}) "
)
_NAME = re.compile(rb"[!#-<>-\\^-~]{1,32}")  # visible ASCII without ", = and ]


@dataclass
class Message:
    facility: int
    severity: int
    time: str
    host: str
    app: str
    msgid: str
    sd_id: str
    data: dict[str, str]
    text: str


def read(message: bytes) -> Message:
    """Read a message with one element of structured data and a text in UTF-8.

    Raises:
        AssertionError: where it is not as the grammar has it.
    """
    head = _HEAD.match(message)
    assert head is not None, message[:200]
    priority = int(head["pri"])
    assert priority <= 191
    at = head.end()
    assert message[at : at + 1] == b"["
    name = _NAME.match(message, at + 1)
    assert name is not None
    at = name.end()
    data: dict[str, str] = {}
    while message[at : at + 1] == b" ":
        parameter = _NAME.match(message, at + 1)
        assert parameter is not None and message[parameter.end() : parameter.end() + 2] == b'="'
        value, at = _value(message, parameter.end() + 2)
        data[parameter[0].decode()] = value
    assert message[at : at + 2] == b"] ", message[at : at + 20]
    text = message[at + 2 :]
    assert text.startswith(b"\xef\xbb\xbf")
    return Message(
        priority // 8, priority % 8, head["time"].decode(), head["host"].decode(), head["app"].decode(),
        head["msgid"].decode(), name[0].decode(), data, text[3:].decode(),
    )  # fmt: skip


def _value(message: bytes, at: int) -> tuple[str, int]:
    value = bytearray()
    while (one := message[at : at + 1]) != b'"':
        assert one not in (b"", b"]"), "not escaped"
        if one == b"\\" and message[at + 1 : at + 2] in (b'"', b"\\", b"]"):
            at += 1
            one = message[at : at + 1]
        value += one
        at += 1
    return value.decode(), at + 1
