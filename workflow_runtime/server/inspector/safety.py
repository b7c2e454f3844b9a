"""What keeps a page its owner's: headers, and a token that only our own pages can send back."""

from __future__ import annotations

import hmac
import secrets

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from ..errors import Refused

__all__ = ["CSRF_FIELD", "POLICY", "check_post", "give_token", "secured", "token_of"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with none at all a form's Origin would be "null"
    "Cross-Origin-Opener-Policy": "same-origin",
}
CSRF_FIELD = "csrf_token"
_COOKIE = "wfr_csrf"


def secured(response: Response) -> Response:
    """``response`` with the headers of every page. What a person sees of a run is kept in no cache."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def token_of(request: Request) -> str:
    """The token that this browser's forms carry; a new one for a browser that has none."""
    known = request.cookies.get(_COOKIE, "")
    return known if len(known) >= 32 and known.isascii() else secrets.token_urlsafe(32)


def give_token(request: Request, response: Response, token: str) -> None:
    """Let the browser keep ``token`` where no script and no other site can read it."""
    if request.cookies.get(_COOKIE) != token:
        response.set_cookie(
            _COOKIE,
            token,
            path=request.scope.get("root_path") or "/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )


def check_post(request: Request, form: FormData) -> None:
    """Refused (403) unless one of our own pages sent ``form``. What a browser says of its origin was looked at before."""
    known, sent = request.cookies.get(_COOKIE, ""), form.get(CSRF_FIELD)
    if not known or not isinstance(sent, str) or not hmac.compare_digest(known.encode(), sent.encode()):
        raise Refused(403, "foreign_form", "this form was not sent by a page of this server; reload it and try again")
