"""Endpoints that take messages into runs: of callers with credentials, and of callbacks."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..errors import Refused
from ..limits import Limits
from ..requests import SendMessage, SteerStep
from .body import FORMS, limited, read_body
from .call import Call, as_json
from .nesting import NESTING, nested_too_deeply

__all__ = ["call_back", "cancel_step", "retry_step", "send_message", "skip_step"]


async def send_message(call: Call) -> Response:
    message = await read_body(call.request, SendMessage, call.service.limits)
    receipt = await call.service.send(call.user, call.path("workflow_id"), call.path("run_id"), message)
    return as_json(msgspec.structs.asdict(receipt))


async def cancel_step(call: Call) -> Response:
    return await _steer(call, "cancel")


async def skip_step(call: Call) -> Response:
    return await _steer(call, "skip")


async def retry_step(call: Call) -> Response:
    return await _steer(call, "retry")


async def _steer(call: Call, action: Literal["cancel", "skip", "retry"]) -> Response:
    order = await read_body(call.request, SteerStep, call.service.limits)
    receipt = await call.service.steer(call.user, call.path("workflow_id"), call.path("run_id"), action, order)
    return as_json(msgspec.structs.asdict(receipt))


async def call_back(call: Call) -> Response:
    """A repetition with the same body is answered as the first call was, whatever has become of the run."""
    value = await _content(call.request, call.service.limits)
    receipt = await call.service.call_back(call.path("token"), value)
    return as_json({"received": True, "created_at": receipt.created_at})


async def _content(request: Request, limits: Limits) -> Any:
    """The body of a webhook: JSON as its value, a form as a dict of texts, other text as it is, nothing as None.

    Raises:
        Refused: It is too large (413), of another type (415), cannot be read (400), or stops coming (408).
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await limited(request, limits).body()
    if not body:
        return None
    if sent == "application/json" or sent.endswith("+json"):
        if nested_too_deeply(body):
            raise Refused(400, "bad_request", f"the body is nested deeper than {NESTING}")
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Refused(400, "bad_request", f"the body is no JSON: {error}") from None
    if sent != FORMS[1] and not sent.startswith("text/"):
        raise Refused(415, "unsupported_type", f"send application/json, {FORMS[1]} or text/plain")
    try:
        text = body.decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=1000)) if sent == FORMS[1] else text
    except ValueError as error:
        raise Refused(400, "bad_request", f"the body cannot be read: {error}") from None
