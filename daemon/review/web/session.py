"""Who is at the page: sessions, and forms that can be sent once and by whoever was shown them.

All of it is in memory: when the program is started again, people are asked again before anything is stored.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

COOKIE = "sysscan_review"
# What somebody is told whose form this session was not shown.
NOT_SHOWN = (
    "This page was drawn for another session than the one that you have now: you have been let in again since, or the "
    "program was started again. Nothing was stored; look again, and decide."
)
_IDLE_S = 12 * 3600.0
_MOST_SESSIONS = 256  # the one that was used longest ago goes first
_MOST_SENT = 4096  # forms of a session that are remembered as sent
_BITS = 128


@dataclass(slots=True)
class Session:
    """One browser of one person.

    Attributes:
        author: who decides in it.
        uid: whom its connections come from, where they say so.
    """

    author: str
    uid: int | None
    key: bytes
    used_at: float
    sent: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def issue(self, about: str, seq: int, marks: Sequence[str] = ()) -> str:
        """Make the hidden field of a form: it can be sent once, in this session, for what it is about.

        Args:
            about: what is decided on; the form says it again when it is sent.
            seq: the last verdict that the page was drawn with.
            marks: what the page said beside it, to be compared when the form is sent. Hex digits.
        """
        said = ".".join((secrets.token_hex(_BITS // 8), str(seq), "-".join(marks)))
        return f"{said}.{self._seal(about, said)}"

    def read(self, about: str, given: str) -> "Form | None":
        """Read the hidden field of a form that was sent; None where it is not one that this session was shown."""
        said, _, seal = given.rpartition(".")
        if not said or not hmac.compare_digest(seal.encode(), self._seal(about, said).encode()):
            return None
        name, seq, marks = said.split(".")
        return Form(name, int(seq), tuple(marks.split("-")) if marks else ())

    def outcome(self, form: "Form") -> str | None:
        """Say what came of a form when it was sent before; None where it was not."""
        return self.sent.get(form.name)

    def spend(self, form: "Form", outcome: str) -> None:
        """Note that a form was sent, and what came of it."""
        self.sent[form.name] = outcome
        while len(self.sent) > _MOST_SENT:
            self.sent.popitem(last=False)

    def _seal(self, about: str, said: str) -> str:
        return hmac.digest(self.key, f"{len(about)} {about} {said}".encode("utf-8", "surrogatepass"), "sha256").hex()


@dataclass(slots=True, frozen=True)
class Form:
    """A form that was sent.

    Attributes:
        name: its own, for once.
        seq: the last verdict that the page was drawn with.
        marks: what the page said.
    """

    name: str
    seq: int
    marks: tuple[str, ...]


class Sessions:
    """The sessions of a server."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args: `clock`: seconds, from anywhere, never backwards."""
        self._clock = clock
        self._known: OrderedDict[str, Session] = OrderedDict()

    def begin(self, author: str, uid: int | None) -> str:
        """Begin one; returns what the browser keeps of it."""
        name = secrets.token_urlsafe(_BITS // 4)
        self._known[name] = Session(author, uid, secrets.token_bytes(32), self._clock())
        while len(self._known) > _MOST_SESSIONS:
            self._known.popitem(last=False)
        return name

    def find(self, name: str, uid: int | None, *, used: bool = True) -> Session | None:
        """Give the session that a browser names, to the user that it belongs to.

        Args:
            used: by a person; what a page asks by itself keeps no session alive.
        """
        session = self._known.get(name)
        if session is None or session.uid != uid:
            return None
        now = self._clock()
        if now - session.used_at > _IDLE_S:
            del self._known[name]
            return None
        if used:
            session.used_at = now
            self._known.move_to_end(name)
        return session
