"""A fork made ready to run: a request like the source's, over a journal that shares its prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ...model import codec
from ...model.run import WorkflowRunOutput
from ...model.session import WorkflowSession
from ..bus.pauses import Pauses
from ..bus.unreadable import refuse_unreadable
from ..loop.clock import new_id, new_run_id
from ..loop.loops import whole
from ..run.execution import Execution
from ..run.host import register
from ..run.request import Definition, Input, RunRequest
from ..run.sessions import open_session
from .continuation import check_plan
from .fork import fork_journal, fork_state, load_prefix
from .named import store_named

__all__ = ["prepare_fork"]


async def prepare_fork(
    definition: Definition,
    run_id: str,
    at: str | int | None,
    session_state: dict[str, Any] | None,
    outputs: dict[str, Any] | None,
    *,
    session_id: str | None,
    run_id_new: str | None,
    store_events: bool,
    skip: Any,
    background: bool,
) -> Callable[[], Awaitable[Execution]]:
    """Look the prefix up (and refuse what cannot be forked) now; what is returned starts the run."""
    db = definition.db
    assert db is not None
    prefix = await load_prefix(db, run_id, at)
    journal, own = fork_journal(prefix, outputs, definition.plan.find)
    check_plan(definition.plan, journal, False)
    source = codec.decode_run(prefix.source.data, prefix.source)
    refuse_unreadable(run_id, journal, source, ())
    request = RunRequest(
        definition=definition,
        run_id=run_id_new or new_run_id(),
        run_id_chosen=run_id_new is not None,
        session_id=session_id or f"{prefix.source.session_id}-fork-{new_id()[-8:]}",
        user_id=source.user_id,
        input=_input(source),
        parent_run_id=source.parent_run_id,
        store_events=store_events,
        keep_log=background,
        skip=skip,
        background=background,
    )

    async def prepare() -> Execution:
        session, state, stored = await open_session(
            definition, request.session_id, request.user_id, fork_state(prefix, session_state)
        )
        run = _execution(request, source, session, state, stored)
        if request.run_id_chosen:
            await whole(partial(store_named, run))
        return register(run)

    def _execution(
        request: RunRequest,
        source: WorkflowRunOutput,
        session: WorkflowSession,
        state: dict[str, Any],
        stored: dict[str, bytes],
    ) -> Execution:
        now = definition.clock.time()
        output = WorkflowRunOutput(
            run_id=request.run_id,
            session_id=request.session_id,
            user_id=request.user_id,
            workflow_id=definition.id,
            workflow_name=definition.name,
            input=source.input,
            additional_data=source.additional_data,
            dependencies=source.dependencies,
            metadata=source.metadata,
            tags=source.tags,
            created_at=int(now),
            updated_at=int(now),
        )
        run = Execution(
            request,
            output=output,
            state=state,
            session=session,
            journal=journal,
            pauses=Pauses(),
            created_at=now,
            state_base=stored,
        )
        run.forked_from = f"{prefix.source.run_id}@{prefix.cut}"
        if run.recorder is not None:
            for record in own:
                run.recorder.note(record)
        return run

    return prepare


def _input(source: WorkflowRunOutput) -> Input:
    return Input(
        value=source.input,
        additional_data=source.additional_data,
        images=source.images,
        videos=source.videos,
        audio=source.audio,
        files=source.files,
        dependencies=source.dependencies,
        metadata=source.metadata,
    )
