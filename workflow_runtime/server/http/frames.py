"""What a client sends over the socket: JSON objects told apart by their ``action``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ..errors import Refused
from ..requests import Identifier, RunId, SessionId, refuse_nothing_to_join, refuse_unaddressable
from .nesting import NESTING, nested_too_deeply
from .runs import answers_in

__all__ = [
    "AnswerFrame",
    "AuthenticateFrame",
    "CancelFrame",
    "FollowFrame",
    "Frame",
    "LeaveFrame",
    "PingFrame",
    "StartFrame",
    "parse_frame",
]


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    """Fields that are not known are passed over: agno's clients send a few more."""


class AuthenticateFrame(Frame, frozen=True, kw_only=True, tag="authenticate"):
    token: Annotated[str, msgspec.Meta(max_length=16_384)]


class PingFrame(Frame, frozen=True, kw_only=True, tag="ping"):
    pass


class StartFrame(Frame, frozen=True, kw_only=True, tag="start-workflow"):
    """``input``, or ``message`` as agno's clients call it; the rest as in the body of POST .../runs."""

    workflow_id: str
    input: Any = None
    message: Any = None
    session_id: SessionId | None = None
    run_id: RunId | None = None
    if_exists: Literal["error", "join"] = "error"
    user_id: Identifier | None = None
    stream_events: bool = True
    session_state: dict[str, Any] | None = None
    additional_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    dependencies: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        refuse_unaddressable(("run_id", self.run_id), ("session_id", self.session_id))
        refuse_nothing_to_join(self.if_exists, self.run_id)


class FollowFrame(Frame, frozen=True, kw_only=True, tag="subscribe"):
    """``after``: an event's id, or a seq; agno's ``last_event_index`` counts from 0."""

    run_id: str
    workflow_id: str | None = None
    after: int | str | None = None
    last_event_index: int | None = None

    @property
    def position(self) -> int | str:
        if self.after is not None:
            return self.after
        return 0 if self.last_event_index is None else self.last_event_index + 1


class LeaveFrame(Frame, frozen=True, kw_only=True, tag="unsubscribe"):
    run_id: str


class AnswerFrame(Frame, frozen=True, kw_only=True, tag="continue-workflow"):
    workflow_id: str
    run_id: str
    answers: dict[str, dict[str, Any]] = {}
    step_requirements: list[dict[str, Any]] = []

    def all_answers(self) -> dict[str, dict[str, Any]]:
        return {**answers_in(self.step_requirements), **self.answers}


class CancelFrame(Frame, frozen=True, kw_only=True, tag="cancel-workflow"):
    workflow_id: str
    run_id: str


_ALSO = {
    "reconnect": "subscribe",
    "answer": "continue-workflow",
    "cancel": "cancel-workflow",
    "start": "start-workflow",
}
_KINDS: dict[str, type[Frame]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (AuthenticateFrame, PingFrame, StartFrame, FollowFrame, LeaveFrame, AnswerFrame, CancelFrame)
}


def parse_frame(text: bytes) -> Frame:
    """The frame; Refused for what is none."""
    if nested_too_deeply(text):
        raise Refused(400, "bad_frame", f"the frame is nested deeper than {NESTING}")
    try:
        data = msgspec.json.decode(text, type=dict[str, Any])
        action = data.get("action")
        name = _ALSO.get(action, action) if isinstance(action, str) else None
        kind = _KINDS.get(name) if name is not None else None
        if kind is None:
            raise Refused(400, "unknown_action", f"Unknown action: {str(action)[:100]}; known: {', '.join(_KINDS)}")
        return msgspec.convert({**data, "action": name}, kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Refused(400, "bad_frame", f"the frame does not fit: {error}") from None
