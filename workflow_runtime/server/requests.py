"""What a client may say, as types: decoded and checked by msgspec, which also writes their JSON Schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .. import Audio, File, Image, RunStatus, Video

__all__ = [
    "AnswerRun",
    "ChangeSession",
    "ChangeState",
    "EventsQuery",
    "ForkRun",
    "GraphQuery",
    "Identifier",
    "PendingQuery",
    "RunId",
    "RunQuery",
    "RunsQuery",
    "SendMessage",
    "SessionId",
    "SessionsQuery",
    "StartRun",
    "StreamQuery",
    "refuse_nothing_to_join",
    "refuse_unaddressable",
]

# Without control characters, and short enough to be a key in every database.
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
# Also a part of an address: not one that browsers and proxies would take for another. ``refuse_unaddressable`` checks
# the pattern, with a sentence for it.
SessionId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, extra_json_schema={"pattern": r"^(?!\.{1,2}$)[^\x00-\x1f\x7f/]+$"})
]
RunId = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=200, extra_json_schema={"pattern": r"^(?!\.{1,2}$)[ -.0-~\xa0-\xff]+$"}
    ),  # and of a header
]
Key = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]


def refuse_unaddressable(run: tuple[str, str | None], session: tuple[str, str | None]) -> None:
    """ValueError for an id that no address, or no header, can hold; before a run gets it. (name of the field, id)"""
    for name, text in (run, session):
        if text is None:
            continue
        if "/" in text or text in (".", ".."):
            raise ValueError(
                f"{name} {text!r} cannot be a part of an address; use an id without slashes that is not . or .."
            )
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise ValueError(f"{name} {text!r} contains a control character; use an id without")
    name, text = run
    if text is not None and any(ord(character) > 255 or 127 <= ord(character) < 160 for character in text):
        raise ValueError(
            f"{name} {text!r} cannot be sent in the header X-Run-Id, which holds Latin-1 only; use ASCII letters and digits"
        )


def refuse_nothing_to_join(if_exists: str, run_id: str | None) -> None:
    """ValueError for a call that would join a run and names none."""
    if if_exists == "join" and run_id is None:
        raise ValueError("if_exists 'join' needs the run_id of the run to join")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt field is an error: a wrong ``sesion_id`` must not start a conversation of its own."""


class StartRun(Body, frozen=True, kw_only=True):
    """A run to start. ``stream`` and ``background`` say who waits: nobody with ``background``, else this request.
    ``if_exists`` is what a run of ``run_id`` that is there already means: an error, or one to wait for, or to follow from
    its beginning, if workflow, user, session and input are the same.

    ``user_id`` counts only where nobody is asked who they are; otherwise it must be the caller's own.
    """

    input: Any = None
    stream: bool = False
    stream_events: bool = True
    background: bool = False
    session_id: SessionId | None = None
    run_id: RunId | None = None
    if_exists: Literal["error", "join"] = "error"
    user_id: Identifier | None = None
    session_state: dict[Key, Any] | None = None
    additional_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: list[Identifier] | None = None
    dependencies: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None

    def __post_init__(self) -> None:
        refuse_unaddressable(("run_id", self.run_id), ("session_id", self.session_id))
        refuse_nothing_to_join(self.if_exists, self.run_id)


class AnswerRun(Body, frozen=True, kw_only=True):
    """Answers to a paused run: by requirement id in ``answers``, or in ``step_requirements`` as the requirements
    themselves with their answers put in. Neither: go on with what is answered already."""

    answers: dict[str, dict[str, Any]] = {}
    step_requirements: list[dict[str, Any]] = []
    stream: bool = False
    stream_events: bool = True
    background: bool = False
    session_id: Identifier | None = None
    user_id: Identifier | None = None


class SendMessage(Body, frozen=True, kw_only=True):
    """A message to a run. ``message_id`` is the sender's own name for it: sent again with the same id it counts once.
    ``only_if_awaited``: refuse it unless a step waits for a message on the topic now."""

    topic: Identifier
    value: Any = None
    message_id: Identifier | None = None
    only_if_awaited: bool = False


class SteerStep(Body, frozen=True, kw_only=True):
    """An order to the step at ``path``. ``message_id`` is the sender's own name for it: sent again with the same id it
    counts once."""

    path: str
    reason: str | None = None
    message_id: Identifier | None = None


class ForkRun(Body, frozen=True, kw_only=True):
    """A fork: ``at`` is the path of the step to run again, or the seq of a stored event; ``outputs`` maps paths to
    contents that count as done; ``run_id`` becomes the new run's, so that a fork whose answer was lost is not made twice."""

    at: Annotated[str, msgspec.Meta(max_length=2000)] | Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    session_state: dict[Key, Any] | None = None
    outputs: dict[str, Any] | None = None
    run_id: RunId | None = None
    session_id: SessionId | None = None
    background: bool = False

    def __post_init__(self) -> None:
        refuse_unaddressable(("run_id", self.run_id), ("session_id", self.session_id))


class ChangeSession(Body, frozen=True, kw_only=True):
    session_name: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]


class ChangeState(Body, frozen=True, kw_only=True):
    """Keys to set in the session's state; others stay."""

    session_state: dict[Key, Any]


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """``after``: an event's id such as 1-42, or a seq; the header Last-Event-ID wins over it."""

    after: str | None = None


class EventsQuery(StreamQuery, frozen=True, kw_only=True):
    """``kinds``: names of events, with commas between them; ``path``: a glob over paths. The final event always comes."""

    kinds: str | None = None
    path: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class PendingQuery(msgspec.Struct, frozen=True, kw_only=True):
    session_id: Identifier | None = None
    limit: Limit = 100


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """``events``: whether those that a workflow with ``store_events=True`` keeps in its runs are told with them."""

    events: bool = True


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """``tags``: texts with commas between them, all of which a run must have; ``since`` and ``until``: when it was created,
    in unix seconds."""

    session_id: Identifier | None = None
    status: RunStatus | None = None
    tags: Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*$")] | None = None
    since: float | None = None
    until: float | None = None
    limit: Limit = 50
    before: str | None = None


class SessionsQuery(msgspec.Struct, frozen=True, kw_only=True):
    workflow_id: Identifier | None = None
    limit: Limit = 50
    before: str | None = None


class GraphQuery(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["mermaid", "svg", "dot"] = "mermaid"
