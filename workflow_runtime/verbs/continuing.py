"""Verbs that go on with a paused run."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Literal, overload

from .. import engine
from ..core.filters import skip_sieve
from ..model.errors import InputError
from ..model.run import WorkflowRunOutput
from .base import Verbs

__all__ = ["ContinueVerbs"]


class ContinueVerbs(Verbs):
    @overload
    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: Literal[True],
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        user_id: str | None = None,
        allow_plan_change: bool = False,
    ) -> engine.stream.RunStream: ...

    @overload
    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: Literal[False] | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        user_id: str | None = None,
        allow_plan_change: bool = False,
    ) -> Coroutine[Any, Any, WorkflowRunOutput]: ...

    @overload
    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        user_id: str | None = None,
        allow_plan_change: bool = False,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]: ...

    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        user_id: str | None = None,
        allow_plan_change: bool = False,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]:
        """Go on with a paused run once its requirements are answered.

        The run is ``run_response``, or that of ``run_id`` in the database; ``session_id`` then is the session that it must
        be of. ``step_requirements`` are the answers; None: the requirements of ``run_response``.

        Returns:
            A coroutine of the output, or with ``stream=True`` a RunStream (awaiting it gives itself).

        Raises:
            RunNotPaused: It ended, is running, or somebody else continued it first.
            AlreadyAnswered: The given answers came second; nothing was changed.
            ValueError: No run was named, it is unknown, or nothing of what is open was answered.
            PlanChanged: The workflow's steps no longer fit the stored run.
        """
        engine.inputs.check_ids({name: value for name, value in locals().items() if name != "self"})
        if run_response is not None and not isinstance(run_response, WorkflowRunOutput):
            raise InputError(
                f"run_response must be the paused WorkflowRunOutput, got {type(run_response).__name__};"
                " to name a stored run write run_id="
            )
        if isinstance(step_requirements, (str, dict)) or not isinstance(step_requirements, Iterable | None):
            raise InputError(
                f"step_requirements must be a list of answered requirements, got {type(step_requirements).__name__}"
            )
        if run_response is None and not run_id:
            raise ValueError("Either run_response or (run_id and session_id) must be provided.")
        wanted = run_id or (run_response.run_id if run_response is not None else None)
        asked = engine.continuation.Continuation(
            definition=self.definition(),
            run_id=str(wanted),
            session_id=session_id,
            output=run_response,
            answers=list(step_requirements) if step_requirements is not None else None,
            store_events=self.store_events,
            keep_log=bool(background) and self.db is not None,
            skip=skip_sieve(self.events_to_skip),
            user_id=user_id,
            allow_plan_change=allow_plan_change,
            background=bool(background),
        )
        prepare = engine.resume.prepare_continued
        if engine.handed_over.belongs_to_workers(asked):
            prepare = engine.handed_over.hand_over
        return self._launch(
            lambda: prepare(asked),
            asked.run_id,
            self._streams(stream, background, websocket),
            stream_events,
            stream_executor_events,
            bool(background),
            engine.websocket.as_handler(websocket) or engine.websocket.as_handler(self.websocket_handler),
        )

    @overload
    def continue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: Literal[True],
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> engine.sync_stream.SyncRunStream: ...

    @overload
    def continue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: Literal[False] | None = None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput: ...

    @overload
    def continue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput | engine.sync_stream.SyncRunStream: ...

    def continue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput | engine.sync_stream.SyncRunStream:
        """The same as ``acontinue_run`` for code that is not async. ``kwargs`` are its further parameters."""
        found: WorkflowRunOutput | engine.sync_stream.SyncRunStream = self._wait(
            lambda: self.acontinue_run(
                run_response,
                run_id=run_id,
                session_id=session_id,
                step_requirements=step_requirements,
                stream=stream,
                stream_events=stream_events,
                **kwargs,
            )
        )
        return found
