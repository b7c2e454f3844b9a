"""What an endpoint is given and gives: the service, who asks, what was sent; JSON, or a refusal as JSON."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from ...model.text import shown
from ...model.wire import TYPED, WIRE
from ..auth import ANYBODY, User
from ..errors import Refused, as_refused
from ..service import Service

__all__ = [
    "VERSION",
    "Call",
    "Endpoint",
    "answering",
    "as_json",
    "no_route",
    "refusal",
    "user_of",
    "wants_types",
    "wire_header",
]

logger = logging.getLogger("workflow_runtime")

_T = TypeVar("_T")
VERSION = version("workflow-runtime")
_ENCODER = msgspec.json.Encoder()
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 408: {"Connection": "close"}}
_NO_ROUTE = {
    404: ("not_found", "there is nothing at this address; /openapi.json lists what there is"),
    405: ("method_not_allowed", "this address does not take this method; the header Allow names those that it does"),
}
_NOT_STARTED = (
    "the lifespan of this app did not run: an app that mounts it passes lifespan=app.router.lifespan_context, and a test"
    " client is used as a context manager"
)


def wire_header() -> dict[str, str]:
    """The header that names the version of the wire."""
    return {"X-Workflow-Wire": str(WIRE)}


def wants_types(headers: Headers) -> bool:
    """True for a client that reads values with the tags of their types."""
    return any(TYPED in accepted for accepted in headers.getlist("accept"))


def user_of(connection: HTTPConnection) -> User:
    """Who asks, as the app's guard, or the dependency of a router, found out."""
    user = connection.scope.get("workflow_user", ANYBODY)
    assert isinstance(user, User)
    return user


class Call:
    """One request to one endpoint."""

    def __init__(self, service: Service, request: Request) -> None:
        self.service = service
        self.request = request
        self.user = user_of(request)

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, kind: type[_T]) -> _T:
        """The query as ``kind``; unknown parameters are passed over. Refused (400) where one does not fit."""
        try:
            return msgspec.convert(dict(self.request.query_params), kind, strict=False)
        except msgspec.ValidationError as error:
            raise Refused(400, "bad_request", f"the query does not fit: {error}") from None


Endpoint = Callable[[Call], Awaitable[Response]]


def answering(service: Service, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for Starlette. What it raises becomes a refusal; what nobody expected is logged, and not told."""

    async def answer(request: Request) -> Response:
        try:
            if not service.started:
                raise Refused(503, "not_started", _NOT_STARTED)
            return await endpoint(Call(service, request))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody will read it
        except Exception as error:
            return refusal(error, f"{request.method} {request.url.path}")

    return answer


def refusal(error: Exception, what: str) -> Response:
    """How an error is told: its status and code; a defect as 500 with an id that the log has too."""
    refused = as_refused(error)
    if refused is None and isinstance(error, HTTPException) and error.status_code < 500:
        refused = Refused(error.status_code, "bad_request", str(error.detail))
    if refused is None:
        number = secrets.token_hex(4)
        logger.error("%s failed (%s)", what, number, exc_info=error)
        refused = Refused(500, "internal", f"something went wrong here; the server's log has it as {number}")
    elif refused.status >= 500:
        logger.warning("%s: %s: %s", what, type(error).__name__, error)
    headers = _HEADERS.get(refused.status)
    return as_json(refused.to_dict(), refused.status, headers)


def no_route(_: Request, error: Exception) -> Response:
    """What Starlette says where no route fits, in the form of every other error."""
    assert isinstance(error, HTTPException)
    code, said = _NO_ROUTE.get(error.status_code, ("bad_request", str(error.detail)))
    return as_json(Refused(error.status_code, code, said).to_dict(), error.status_code, dict(error.headers or {}))


def as_json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``data`` as JSON; values that JSON does not have as the text that people see."""
    try:
        body = _ENCODER.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError):
        body = json.dumps(shown(data)).encode()  # also lone surrogates
    return Response(body, status, {**wire_header(), **(headers or {})}, media_type="application/json")
