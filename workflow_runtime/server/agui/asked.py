"""What a front end asks of an agent, as the input of a workflow."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import ag_ui.core as ag

from ... import Audio, File, Image, Video
from ...model.text import read_json
from ..errors import Refused

__all__ = ["run_input"]

_MEDIA: dict[str, tuple[str, Any]] = {
    "image": ("images", Image),
    "audio": ("audio", Audio),
    "video": ("videos", Video),
    "document": ("files", File),
}


def run_input(asked: ag.RunAgentInput, has_schema: bool) -> dict[str, Any]:
    """The fields of a StartRun that say what the run is about.

    The input is ``forwardedProps.input`` if there is one, else the text of the last user message; where the workflow has
    an input schema (``has_schema``) that text is read as JSON, if it is JSON. The media of that message are the run's;
    ``context`` is in ``additional_data``, and so are the other ``forwardedProps``.
    """
    props = dict(asked.forwarded_props) if isinstance(asked.forwarded_props, dict) else {}
    message = next((item for item in reversed(asked.messages) if isinstance(item, ag.UserMessage)), None)
    text, media = _parts(message.content) if message is not None else (None, {})
    given = props.pop("input", None)
    if given is None:
        given = _from_json(text) if has_schema and text else text
    extra: dict[str, Any] = {}
    if asked.context:
        extra["context"] = [item.model_dump(by_alias=True) for item in asked.context]
    if props:
        extra["forwarded_props"] = props
    return {"input": given, "additional_data": extra or None, **media}


def _from_json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _parts(content: Any) -> tuple[str, dict[str, list[Any]]]:
    if isinstance(content, str):
        return content, {}
    texts: list[str] = []
    media: dict[str, list[Any]] = {}
    for part in content:
        if isinstance(part, ag.TextPart):
            texts.append(part.text)
            continue
        name, kind = _MEDIA[part.type]
        source = part.source
        if isinstance(source, ag.UrlSource):
            media.setdefault(name, []).append(kind(url=source.value, mime_type=source.mime_type))
        elif isinstance(source, ag.DataSource):
            media.setdefault(name, []).append(kind(content=_bytes(source.value), mime_type=source.mime_type))
        # A handle that only a model's provider can read is passed over, as the protocol wants it.
    return "\n".join(texts), media


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "bad_media", "the data of a media part is no base64") from None
