"""The application: which request is let in, which page answers it, and what every answer carries."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.log import get_logger
from daemon.meant import names_this_machine
from daemon.review.queue import Ambiguous, NotFound
from daemon.review.web import finding, listing
from daemon.review.web.desk import Desk
from daemon.review.web.forms import MAX_BODY, Asked, Values, parse
from daemon.review.web.pages import FILES, Page, render
from daemon.review.web.session import COOKIE, Session, Sessions
from daemon.review.who import user
from pipeline.errors import AgentError

logger = get_logger(__name__)

# Nothing is loaded from elsewhere, nothing runs that stands in a page, nothing is sent anywhere, and nobody frames it.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with `no-referrer`, a browser would hide the origin of our own forms, too
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_KEPT = "private, max-age=31536000, immutable"  # files, whose names change with them
View = Callable[[Request, Session, Values], Page]


class Reviewing:
    """The pages over one desk.

    For use from one event loop: a request is answered in one go once it has come, so that no two decide at once. Only a
    search for a text goes on beside others.
    """

    def __init__(self, desk: Desk, sessions: Sessions, author: str | None, token: str | None) -> None:
        """Args:
        author: who decides, where connections do not say which user they are from.
        token: what a browser has to bring once to be let in there.
        """
        self._desk = desk
        self._sessions = sessions
        self._author = author
        self._token = token
        files = {file.path.rpartition("/")[2]: file for file in FILES.values()}

        async def static(request: Request) -> Response:
            file = files.get(request.path_params["name"])
            if file is None:
                raise HTTPException(404)
            return Response(file.body, media_type=file.kind, headers={"Cache-Control": _KEPT})

        desk_ = desk
        self.asgi: ASGIApp = _Guard(
            Starlette(
                routes=[
                    Route("/", self._page(lambda _, session, query: listing.queue(desk_, session, query))),
                    Route(
                        "/finding/{key}",
                        self._page(
                            lambda request, session, query: finding.finding(
                                desk_, session, request.path_params["key"], query
                            )
                        ),
                    ),
                    Route(
                        "/finding/{key}",
                        self._form(
                            lambda request, session, sent: finding.decide(
                                desk_, session, request.path_params["key"], sent
                            )
                        ),
                        methods=["POST"],
                    ),
                    Route("/many", self._page(lambda _, session, query: finding.many(desk_, session, query))),
                    Route(
                        "/many",
                        self._form(lambda _, session, sent: finding.decide_many(desk_, session, sent)),
                        methods=["POST"],
                    ),
                    Route("/history", self._page(lambda _, session, query: listing.history(desk_, session, query))),
                    Route(
                        "/undo",
                        self._form(lambda _, session, sent: listing.undone(desk_, session, sent)),
                        methods=["POST"],
                    ),
                    Route("/pulse", self._pulse),
                    Route("/enter", self._enter),
                    Route("/static/{name}", static),
                ],
                exception_handlers={HTTPException: self._refused, Exception: self._failed},
            )
        )

    # Who is there

    def _session(self, request: Request, *, used: bool = True) -> tuple[Session, str]:
        """Give the session of a request, and its name where it is a new one.

        Args:
            used: by a person, and not by a page that asks by itself.

        Raises:
            HTTPException: when nobody knows who it is.
        """
        peer = _peer(request)
        found = self._sessions.find(request.cookies.get(COOKIE, ""), peer, used=used)
        if found is not None:
            return found, ""
        if self._token is not None:
            raise HTTPException(403, "Open the address that `sysscan-agent review --web` printed when it was started.")
        if peer is None:
            raise HTTPException(403, "It cannot be told which user of this machine you are, so nobody can decide here.")
        name = self._sessions.begin(user(peer), peer)
        session = self._sessions.find(name, peer)
        assert session is not None
        return session, name

    async def _enter(self, request: Request) -> Response:
        """Take the token for a session."""
        given = request.query_params.get("token", "")
        if self._token is None or not hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            raise HTTPException(403, "This is not the token of the program that runs now; open the address it printed.")
        response = RedirectResponse("/", 303)
        _keep(response, self._sessions.begin(self._author or "", None))
        return response

    # Answering

    def _page(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._answered(request, view, _parsed(request.scope["query_string"]))

        return answer

    def _form(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/x-www-form-urlencoded":
                raise HTTPException(415, "This takes forms alone.")
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise HTTPException(413, f"A form may have at most {MAX_BODY:,} bytes.")
            return await self._answered(request, view, _parsed(body))

        return answer

    async def _answered(self, request: Request, view: View, values: Values) -> Response:
        session, name = self._session(request)
        asked = Asked.of(values)
        try:
            self._desk.look()
            if asked.text:
                await self._desk.search(asked.filter, asked.text)
                self._desk.look()  # others were answered meanwhile
            page = view(request, session, values)
        except NotFound as error:
            page = _message("Not found", str(error), 404)
        except Ambiguous as error:
            page = _message("Not like this", str(error), 422)
        except AgentError as error:
            logger.warning("page.refused", reason=str(error))
            page = _message("It does not work just now", str(error), 503)
        if page.goes_to:
            response: Response = RedirectResponse(page.goes_to, 303)
        else:
            response = self._drawn(page, session)
        if name:
            _keep(response, name)
        return response

    def _drawn(self, page: Page, session: Session | None) -> Response:
        author = session.author if session is not None else ""
        html = render(page, me=author, seq=self._desk.seq, lacking=self._desk.lacking)
        return Response(html, page.status, media_type="text/html; charset=utf-8")

    async def _pulse(self, request: Request) -> Response:
        """Say how far the log goes, so that a page can tell that it is old."""
        self._session(request, used=False)
        try:
            self._desk.look()
        except AgentError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse({"seq": self._desk.seq})

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        heading = HTTPStatus(error.status_code).phrase
        text = "" if error.detail == heading else error.detail
        return self._drawn(_message(heading, text, error.status_code), None)

    async def _failed(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, ClientDisconnect):
            logger.error("page.failed", path=request.scope["path"], exc_info=error)
        page = _message("This program has failed", "It is a fault of ours; its log says more. Nothing was stored.", 500)
        return self._drawn(page, None)


class _Guard:
    """Lets in what a browser on this machine asks for by itself, and gives every answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name.lower(), value) for name, value in message["headers"]]
                there = {name for name, _ in kept}
                kept += [
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in there
                ]
                message = {**message, "headers": kept}
            await send(message)

        if scope["type"] != "http":
            return
        wrong = _wrong(Request(scope))
        if wrong is not None:
            status, text = wrong
            await Response(f"{text}\n", status, media_type="text/plain; charset=utf-8")(scope, receive, harden)
            return
        try:
            await self._app(scope, receive, harden)
        except Exception as error:  # it was answered and logged; the server would only log it again
            if not isinstance(error, ClientDisconnect):
                logger.debug("page.raised", kind=type(error).__name__)


def _wrong(request: Request) -> tuple[int, str] | None:
    """Say what is wrong with where a request comes from or goes to, or None.

    A page from elsewhere can have its own name lead here, send forms here, and show what is here as an image.
    """
    host = request.headers.get("host")
    if len(request.headers.getlist("host")) != 1 or not names_this_machine(host):
        return 421, "this is not a name of this machine"
    site, mode = request.headers.get("sec-fetch-site"), request.headers.get("sec-fetch-mode")
    if request.method in ("GET", "HEAD"):
        if site in ("cross-site", "same-site") and mode != "navigate":
            return 403, "only pages of this program may use it"
        return None
    origin = request.headers.get("origin")
    if origin is None and site != "same-origin":
        return 403, "a form has to say where it is from"
    if (origin is not None and origin != f"http://{host}") or site not in (None, "same-origin"):
        return 403, "only pages of this program may send forms to it"
    return None


def _peer(request: Request) -> int | None:
    peer: Any = request.scope.get("state", {}).get("peer")
    return peer if isinstance(peer, int) else None


def _parsed(text: bytes) -> Values:
    try:
        return parse(text)
    except ValueError as error:
        raise HTTPException(400, "There are too many fields.") from error


def _keep(response: Response, name: str) -> None:
    response.set_cookie(COOKIE, name, httponly=True, samesite="strict", path="/")


def _message(heading: str, text: str, status: int) -> Page:
    return Page("message.html", {"heading": heading, "text": text}, status)
