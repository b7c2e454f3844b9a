"""Bodies: JSON, and the form fields and files that agno's clients send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio
import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from ... import Audio, File, Image, Video
from ..errors import Refused
from ..limits import Limits
from .nesting import NESTING, nested_too_deeply

__all__ = ["FORMS", "limited", "patient", "read_body"]

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_T = TypeVar("_T")
_JSON_FIELDS = frozenset(
    {
        "input",
        "session_state",
        "dependencies",
        "metadata",
        "additional_data",
        "images",
        "audio",
        "videos",
        "files",
        "step_requirements",
        "answers",
    }
)
_RENAMED = {"message": "input", "input_files": "files"}
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_MEDIA: dict[str, type[Image] | type[Audio] | type[Video] | type[File]] = {
    "images": Image,
    "audio": Audio,
    "videos": Video,
    "files": File,
}
_BY_TYPE = {"image": "images", "audio": "audio", "video": "videos"}


async def read_body(request: Request, kind: type[_T], limits: Limits) -> _T:
    """The body as ``kind``. Nothing sent is an empty object.

    Raises:
        Refused: It is too large (413), of another type (415), does not fit (400), or stops coming (408).
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent in FORMS:
        data = await _form(limited(request, limits, limits.upload if sent == FORMS[0] else limits.body), limits)
        return _fitting(lambda: msgspec.convert(data, kind))
    body = await limited(request, limits).body()
    if sent not in ("", "application/json") and not sent.endswith("+json"):
        raise Refused(415, "unsupported_type", f"send application/json, {' or '.join(FORMS)}")
    if body and not sent:  # a page of another site can send this without being asked; see the guard
        raise Refused(415, "unsupported_type", "say Content-Type: application/json")
    if nested_too_deeply(body):
        raise Refused(400, "bad_request", f"the body is nested deeper than {NESTING}")
    return _fitting(lambda: msgspec.json.decode(body or b"{}", type=kind))


def _fitting(convert: Callable[[], _T]) -> _T:
    try:
        return convert()
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise Refused(400, "bad_request", f"the body does not fit: {error}") from None


def limited(request: Request, limits: Limits, most: int | None = None) -> Request:
    """The same request, whose body is refused where it goes beyond ``most`` bytes (413; None: ``limits.body``), or where
    nothing comes for ``limits.receive_timeout`` seconds (408)."""
    most = limits.body if most is None else most
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    read = 0
    waited = patient(request.receive, limits.receive_timeout)

    async def receive() -> Message:
        nonlocal read
        message = await waited()
        read += len(message.get("body", b""))
        if read > most:
            raise _too_large(most)
        return message

    return Request(request.scope, receive)


def patient(receive: Receive, seconds: float) -> Receive:
    """``receive``, refused (408) where the next part of the body does not come within ``seconds``. What follows the body,
    the client's leaving, may take as long as it likes."""
    is_whole = False

    async def receive_in_time() -> Message:
        nonlocal is_whole
        if is_whole:
            return await receive()
        message: Message | None = None
        with anyio.move_on_after(seconds):
            message = await receive()
        if message is None:
            raise Refused(408, "too_slow", f"nothing more of the request came within {seconds:g} s")
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


def _too_large(most: int) -> Refused:
    return Refused(413, "too_large", f"the body is larger than {most} bytes")


async def _form(request: Request, limits: Limits) -> dict[str, Any]:
    """The fields of a form as the JSON body that they stand for."""
    try:
        form = await request.form(max_files=limits.files, max_fields=100, max_part_size=limits.body)
    except MultiPartException as error:
        raise Refused(400, "bad_request", f"the form cannot be read: {error.message}") from None
    async with _closing(form):
        data: dict[str, Any] = {"stream": True} if "message" in form else {}  # what agno's clients expect
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                where, item = await _upload(name, value)
                data.setdefault(where, []).append(item)
            elif value != "":
                _put(data, name, value)
        return data


class _closing:
    def __init__(self, form: FormData) -> None:
        self._form = form

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *error: object) -> None:
        await self._form.close()


def _put(data: dict[str, Any], name: str, text: str) -> None:
    field = _RENAMED.get(name, name)
    value: Any = text
    if name in _JSON_FIELDS or name == "input_files":
        if nested_too_deeply(text):
            raise Refused(400, "bad_request", f"the field {name} is nested deeper than {NESTING}")
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise Refused(400, "bad_request", f"the field {name} must be JSON") from None
    elif field in ("stream", "stream_events", "background"):
        if text.lower() not in _FLAGS:
            raise Refused(400, "bad_request", f"the field {name} must be true or false")
        value = _FLAGS[text.lower()]
    if isinstance(value, list) and isinstance(data.get(field), list):
        value = data[field] + value
    data[field] = value


async def _upload(name: str, file: UploadFile) -> tuple[str, Mapping[str, Any]]:
    """Where a file belongs, by its field's name or else by its type, and the medium as data."""
    kind = (file.content_type or "application/octet-stream").lower()
    where = name if name in _MEDIA else _BY_TYPE.get(kind.partition("/")[0], "files")
    content = await file.read()
    made: dict[str, Any] = {"content": content, "mime_type": kind}
    if where == "files":
        made.update(filename=file.filename or None, size=len(content))
    return where, _MEDIA[where](**made).to_dict()
