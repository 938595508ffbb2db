"""What all rooms share: templates, forms, security headers, errors as pages.

No cookie is set anywhere: a participant is the unguessable part of their link, so another site has
nothing to ride on. Forms are read here, with a bound on their size; uploads are not accepted at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zipp_dagster.studio.artist import Busy
from zipp_dagster.studio.records import NotYours, StudyFull
from zipp_dagster.studio.safety import Refused

FOLDER = Path(__file__).parent
MOST_BODY = 32 * 1024
"""Bytes of a request's body: an intake and a persona text have a few thousand."""

_FORM = "application/x-www-form-urlencoded"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

templates = Jinja2Templates(directory=FOLDER / "templates")


class Guard:
    """Bounds bodies, refuses forms sent by other sites, and sets the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers itself what must not get through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in present
                ]
                if b"cache-control" not in present:
                    kept = b"max-age=300" if scope["path"].startswith("/static/") else b"no-store"
                    message["headers"].append((b"cache-control", kept))
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        problem = _problem(scope["method"], headers)
        if problem is not None:
            await JSONResponse({"detail": problem[1]}, problem[0])(scope, receive, with_headers)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MOST_BODY:
                raise HTTPException(413, f"more than {MOST_BODY} bytes were sent")
            return message

        await self.app(scope, bounded, with_headers)


def _problem(method: str, headers: dict[bytes, str]) -> tuple[int, str] | None:
    if method in ("GET", "HEAD"):
        return None
    if headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return 403, "this was sent by another site"
    length = headers.get(b"content-length", "0")
    if not length.isdigit() or int(length) > MOST_BODY:
        return 413, f"more than {MOST_BODY} bytes were sent"
    return None


async def form(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form; 415 for any other kind of body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != _FORM:
        raise HTTPException(415, f"expected a form ({_FORM})")
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qs(body, keep_blank_values=True, max_num_fields=60)
    except ValueError as error:
        raise HTTPException(400, "too many fields") from error


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A rendered template; everything in it is escaped."""
    shared = {"synthetic": request.app.state.studio.synthetic}
    return templates.TemplateResponse(
        request, f"{template}.html", shared | values, status_code=status
    )


def add_guards(app: FastAPI, hosts: tuple[str, ...]) -> None:
    """Middleware, static files, and errors as pages (or JSON for the API)."""
    app.add_middleware(Guard)
    # Another site's name that was made to point here (DNS rebinding) gets nothing.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for kind, status in ((NotYours, 404), (StudyFull, 409), (Refused, 422), (Busy, 503)):
        app.add_exception_handler(kind, _handler(status))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)


def _handler(status: int) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        return _answer(request, status, str(error))

    return handle


async def _http_error(request: Request, error: Any) -> Response:
    return _answer(request, error.status_code, str(error.detail))


async def _invalid(request: Request, error: Any) -> Response:
    faults = [
        f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}"
        for fault in error.errors()
    ]
    return JSONResponse({"detail": "; ".join(faults)}, 422)


def _answer(request: Request, status: int, detail: str) -> Response:
    headers = {"Retry-After": "60"} if status == 503 else None
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": detail}, status, headers)
    answer = page(request, "error", status, detail=detail)
    answer.headers.update(headers or {})
    return answer
