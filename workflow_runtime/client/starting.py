"""The methods that start execution on a server: starting, continuing, forking."""

from __future__ import annotations

import base64
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload
from urllib.parse import quote

import anyio.to_thread
import msgspec

from ..core.filters import Sieve, stream_sieve
from ..core.position import Position
from ..engine.loop.clock import new_run_id as make_id
from ..model.errors import AlreadyAnswered, InputError, RunNotPaused
from ..model.media import Audio, File, Image, Video
from ..model.run import WorkflowRunOutput
from ..model.text import builtins
from .errors import RunExists
from .follower import FINAL, Follower
from .run import RemoteRun
from .transport import Transport
from .verbs import Cancelled
from .wire import Wire, told

__all__ = ["StartVerbs"]

_ENDS = FINAL | {"WorkflowPaused"}  # of the run that one call started


class StartVerbs:
    transport: Transport
    wire: Wire
    path: str

    def run(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        if_exists: Literal["error", "join"] = "error",
        attach: bool = False,
    ) -> RemoteRun:
        """A run on the server: ``await`` it for its output, or ``async for`` over it for its events.

        No request is sent before that. The parameters are those of ``Workflow.arun``; values are sent as JSON. With
        ``background=True``, leaving it early does not cancel the run. With ``if_exists="join"``, an existing run of
        ``run_id`` is followed from its beginning, if workflow, user, session and input are the same; leaving it does not
        cancel it. With ``attach=True``, any run of that id is followed.

        Raises:
            RunExists: The server already has a run of that ``run_id``, or one that cannot be joined.
            InputError, SessionBusy, ...: As of a local run; nothing was started.
        """
        if if_exists == "join" and not run_id:
            raise InputError("if_exists='join' needs the run_id of the run to join")
        join = if_exists == "join"
        chosen = run_id or make_id()
        media = {"audio": audio, "images": images, "videos": videos, "files": files}
        start = {
            "run_id": chosen,
            "input": input,
            "additional_data": additional_data,
            "user_id": user_id,
            "session_id": session_id,
            "session_state": session_state,
            "dependencies": dependencies,
            "metadata": metadata,
            "tags": list(tags) if tags else None,
            "if_exists": if_exists if join else None,
            **{name: list(items) for name, items in media.items() if items},
        }
        return self._launch(
            chosen,
            f"{self.path}/runs",
            _body(start),
            () if join else (RunExists,),
            0,
            _sieve(stream_events, stream_executor_events),
            owner=not (background or join),
            attach=attach,
        )

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[True],
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        if_exists: Literal["error", "join"] = "error",
    ) -> RemoteRun: ...

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        if_exists: Literal["error", "join"] = "error",
    ) -> Coroutine[Any, Any, WorkflowRunOutput]: ...

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: bool | None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        if_exists: Literal["error", "join"] = "error",
    ) -> RemoteRun | Coroutine[Any, Any, WorkflowRunOutput]: ...

    def arun(
        self, *args: Any, stream: bool | None = None, background: bool | None = False, **options: Any
    ) -> RemoteRun | Coroutine[Any, Any, WorkflowRunOutput]:
        """The same as of a local workflow: a RemoteRun with ``stream=True``, else a coroutine of the output.

        With ``background=True`` and no stream it is the coroutine of the PENDING output.
        """
        run = self.run(*args, background=background, **options)
        return run if stream else _started(run) if background else run.result()

    # -- continuing ----------------------------------------------------------------------------------------------------

    def continue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        answers: Mapping[str, Mapping[str, Any]] | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        attach: bool = False,
        after: int | str | None = None,
    ) -> RemoteRun:
        """Go on with a paused run: ``await`` the output, or ``async for`` over the events from here on.

        The run is ``run_response`` or that of ``run_id``. The answers are those that were put into ``step_requirements``
        (default: the requirements of ``run_response``), and ``answers``: by requirement id, as
        ``StepRequirement.answer`` takes them. With ``attach=True`` a run that was continued before is followed, in the
        place of RunNotPaused. ``after`` is the ``id`` of the last event that was seen, or its number; default: the newest
        there is.

        Raises:
            RunNotPaused, AlreadyAnswered, PlanChanged, InputError: As of a local run; nothing was changed.
        """
        wanted = run_id or (run_response.run_id if run_response is not None else None)
        if not wanted:
            raise ValueError("name the run: give run_response or run_id")
        asked: Sequence[Any] = step_requirements or ()
        if step_requirements is None and run_response is not None:
            asked = [*(run_response.step_requirements or ()), *(run_response.error_requirements or ())]
        given = {item.id: item.given() for item in asked if item.answered_at is None and item.is_resolved}
        path = f"{self.path}/runs/{quote(wanted, safe='')}"
        return self._launch(
            wanted,
            f"{path}/continue",
            _body({"answers": {**given, **(answers or {})}}),
            (RunNotPaused, AlreadyAnswered),
            after if after is not None else _newest(run_response) if run_response is not None else None,
            _sieve(stream_events, stream_executor_events),
            owner=not background,
            attach=attach,
        )

    @overload
    def acontinue_run(
        self, run_response: WorkflowRunOutput | None = None, *, stream: Literal[True], **options: Any
    ) -> RemoteRun: ...

    @overload
    def acontinue_run(
        self, run_response: WorkflowRunOutput | None = None, *, stream: Literal[False] | None = None, **options: Any
    ) -> Coroutine[Any, Any, WorkflowRunOutput]: ...

    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        stream: bool | None = None,
        background: bool | None = False,
        **options: Any,
    ) -> RemoteRun | Coroutine[Any, Any, WorkflowRunOutput]:
        """``continue_run`` with the return types of a local workflow's ``acontinue_run``."""
        run = self.continue_run(run_response, background=background, **options)
        return run if stream else _started(run) if background else run.result()

    async def fork(
        self,
        run_id: str,
        at: str | int | None = None,
        session_state: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        *,
        session_id: str | None = None,
        new_run_id: str | None = None,
        background: bool = False,
    ) -> WorkflowRunOutput:
        """Start a new run that shares the recorded steps of another one before ``at``, and wait for it. See
        ``Workflow.fork``."""
        chosen = new_run_id or make_id()
        body = {
            "at": at,
            "session_state": session_state,
            "outputs": outputs,
            "session_id": session_id,
            "run_id": chosen,
        }
        path = f"{self.path}/runs/{quote(run_id, safe='')}/fork"
        await self.transport.call("POST", path, body=_body(body), heard=(RunExists,))
        run = self._launch(chosen, "", None, (), 0, None, owner=not background)
        return await (run.read() if background else run.result())

    # -- inside --------------------------------------------------------------------------------------------------------

    def _launch(
        self,
        run_id: str,
        start: str,
        body: dict[str, Any] | None,
        heard: tuple[type[Any], ...],
        after: int | str | None,
        sieve: Sieve | None,
        *,
        owner: bool,
        attach: bool = False,
    ) -> RemoteRun:
        """A run that ``body`` starts (None: it runs already). ``after``: its newest event before; None: request it.
        ``heard`` are the refusals which show that it was started already, by an earlier try or, with ``attach``, by
        anyone."""
        path = f"{self.path}/runs/{quote(run_id, safe='')}"

        async def read() -> WorkflowRunOutput:
            return self.wire.output(await self.transport.call("GET", path))

        async def cancel() -> bool:
            return told(await self.transport.call("POST", f"{path}/cancel"), Cancelled).cancelled

        async def follow(quietly: bool) -> Follower:
            nonlocal body
            if body is not None and _has_files(body):
                body = await anyio.to_thread.run_sync(_inlined, body)
            position = after if after is not None else _newest(await read())
            follower = partial(Follower, self.transport, self.wire, run_id, path, ends=_ENDS, after=position)
            if body is None:
                return follower(query=_QUIET if quietly else None)
            if quietly:
                quiet = {**body, "stream": False}
                await self.transport.call("POST", start, body=quiet, heard=heard, repeated=attach)
                return follower(query=_QUIET)
            return follower(first=("POST", start, {**body, "stream": True}), heard=heard, repeated=attach)

        return RemoteRun(run_id, follow, read, cancel, sieve=sieve, owner=owner)


_MEDIA = ("audio", "images", "videos", "files")
_QUIET = {"kinds": "WorkflowPaused"}  # and the final event, which always comes


def _newest(output: WorkflowRunOutput) -> str:
    """The position after all events of the run up to this output."""
    return str(Position(output.epoch, output.last_seq))


async def _started(run: RemoteRun) -> WorkflowRunOutput:
    """The output of a background run as it is when the server has it."""
    await run.begin(quietly=True)
    return await run.read()


def _sieve(stream_events: bool | None, stream_executor_events: bool | None) -> Sieve | None:
    return stream_sieve(bool(stream_events), stream_executor_events is not False)


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` as JSON that the server reads, for a run that continues whether this client is connected or not."""
    try:
        plain = {name: builtins(value) for name, value in fields.items() if value is not None}
        msgspec.json.encode(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"this cannot be sent as JSON: {error}") from error
    return {**plain, "background": True}


def _has_files(body: dict[str, Any]) -> bool:
    return any("filepath" in item for name in _MEDIA for item in body.get(name, ()))


def _inlined(body: dict[str, Any]) -> dict[str, Any]:
    """``body`` with the bytes of this machine's files in the place of their names. Reads them."""
    return {**body, **{name: [_bytes_of(item) for item in body[name]] for name in _MEDIA if name in body}}


def _bytes_of(item: dict[str, Any]) -> dict[str, Any]:
    if "filepath" not in item:
        return item
    content = base64.b64encode(Path(item["filepath"]).read_bytes()).decode()
    return {**{name: value for name, value in item.items() if name != "filepath"}, "content": content}
