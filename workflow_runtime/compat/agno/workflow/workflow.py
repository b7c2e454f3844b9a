"""Workflow: agno's argument order and defaults around ``workflow_runtime.Workflow``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec

from workflow_runtime import workflow as strict
from workflow_runtime.engine.run.request import Definition
from workflow_runtime.model.errors import BuildError
from workflow_runtime.model.media import Audio, File, Image, Video
from workflow_runtime.model.run import WorkflowRunOutput
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.verbs.registry import Registry

from ..db._data import database_of
from ._data import Rebuilder, describe, reference
from ._returns import workflow_chunks
from .condition import Condition
from .loop import Loop
from .parallel import Parallel
from .router import Router
from .step import Step
from .steps import Steps
from .types import (
    HumanReview,
    StepInput,
    StepOutput,
    StepRequirement,
    StepType,
    WorkflowExecutionInput,
    WorkflowMetrics,
)

__all__ = [
    "Condition",
    "HumanReview",
    "Loop",
    "Parallel",
    "Router",
    "Step",
    "StepInput",
    "StepOutput",
    "StepRequirement",
    "StepType",
    "Steps",
    "Workflow",
    "WorkflowExecutionInput",
    "WorkflowMetrics",
    "WorkflowRunOutput",
]


class Workflow(strict.Workflow):
    """``workflow_runtime.Workflow`` as agno's users construct it: the first positional argument is ``id``.

    Steps may share a name; functions among the steps become lenient steps (see ``Step``); steps that ask for the
    history always find it. ``agent`` is refused, ``debug_level`` and the ``add_*_to_context`` flags have no effect.
    ``strict`` are arguments of the strict class: ``durability``, ``session_policy``, ``run_timeout`` and so on.
    """

    kinds: ClassVar[Mapping[str, Any]] = {
        **strict.Workflow.kinds,
        **{kind.__name__: kind for kind in (Step, Steps, Parallel, Loop, Condition, Router)},
    }
    is_lenient: ClassVar[bool] = True

    def __init__(
        self,
        id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        db: BaseDb | str | None = None,
        steps: Any = None,
        agent: Any = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        overwrite_db_session_state: bool = False,
        user_id: str | None = None,
        debug_level: int = 1,
        debug_mode: bool | None = False,
        stream: bool | None = None,
        stream_events: bool = False,
        stream_executor_events: bool = True,
        store_events: bool = False,
        events_to_skip: Iterable[Any] | None = None,
        store_executor_outputs: bool = True,
        input_schema: Any = None,
        metadata: dict[str, Any] | None = None,
        dependencies: dict[str, Any] | None = None,
        add_dependencies_to_context: bool | None = None,
        add_session_state_to_context: bool | None = None,
        cache_session: bool = False,
        telemetry: bool = True,
        add_workflow_history_to_steps: bool = False,
        num_history_runs: int | None = 3,
        **strict: Any,
    ) -> None:
        if agent is not None:
            raise BuildError(f"Workflow {name!r}: agent= (a WorkflowAgent) is not supported; make the agent a step")
        self.agent = None
        self.debug_level = debug_level
        self.add_dependencies_to_context = add_dependencies_to_context
        self.add_session_state_to_context = add_session_state_to_context
        super().__init__(
            name=name,
            id=id,
            description=description,
            steps=steps,
            db=db,
            session_id=session_id,
            user_id=user_id,
            session_state=session_state,
            overwrite_db_session_state=overwrite_db_session_state,
            debug_mode=debug_mode,
            stream=stream,
            stream_events=stream_events,
            stream_executor_events=stream_executor_events,
            store_events=store_events,
            events_to_skip=events_to_skip,
            store_executor_outputs=store_executor_outputs,
            input_schema=input_schema,
            metadata=metadata,
            dependencies=dependencies,
            add_workflow_history_to_steps=add_workflow_history_to_steps,
            num_history_runs=num_history_runs,
            cache_session=cache_session,
            telemetry=telemetry,
            **strict,
        )

    def _compile(self) -> Definition:
        found = super()._compile()
        return msgspec.structs.replace(
            found,
            function=workflow_chunks(found.function) if found.function is not None else None,
            loads_runs=self.db is not None,
            history_limit=None,
            num_history_runs=None,
            lists_nested_runs=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """The configuration and every step as data, callables by their ``__name__``. A database of the layer describes
        itself; one with a password leaves its address out."""
        data = super().to_dict()
        for name in ("add_dependencies_to_context", "add_session_state_to_context"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        database: Any = self.db
        if hasattr(database, "to_dict"):
            data["db"] = database.to_dict()
        return data

    def _describe(self, item: Any) -> dict[str, Any]:
        return describe(item)

    def _reference(self, item: Any) -> str:
        return reference(item)

    @classmethod
    def _rebuild(cls, registry: Registry) -> Rebuilder:
        return Rebuilder(registry, lambda inner: cls.from_dict(inner, registry=registry))

    @classmethod
    def from_dict(  # type: ignore[override]  # agno's order
        cls,
        data: Mapping[str, Any],
        db: BaseDb | str | None = None,
        links: Any = None,
        registry: Any = None,
        strict: bool = False,
    ) -> Self:
        """The workflow that ``to_dict`` described; without a ``db`` with the one that is described, if that says where.

        A name that ``registry`` lacks is an error at once, whatever ``strict`` says. ``links`` has no effect.
        """
        return super().from_dict(data, registry, db if db is not None else database_of(data.get("db"), registry))

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
        stream: bool | None = None,
        stream_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        enable_websocket: bool = False,
        background_tasks: Any = None,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        add_dependencies_to_context: bool | None = None,
        add_session_state_to_context: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """``workflow_runtime.Workflow.arun``. ``background_tasks`` and what concerns agents' prompts has no effect."""
        if enable_websocket and websocket is None:
            raise ValueError("enable_websocket=True needs a websocket=")
        launch: Any = super().arun  # its overloads tell the streams apart by literals
        return launch(
            input,
            additional_data,
            user_id,
            run_id,
            session_id,
            session_state,
            audio,
            images,
            videos,
            files,
            stream=stream,
            stream_events=stream_events,
            background=background,
            websocket=websocket,
            dependencies=dependencies,
            metadata=metadata,
            **kwargs,
        )

    def acontinue_run(
        self,
        run_response: WorkflowRunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        step_requirements: Sequence[Any] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        enable_websocket: bool = False,
        **kwargs: Any,
    ) -> Any:
        """``workflow_runtime.Workflow.acontinue_run``."""
        return super().acontinue_run(
            run_response,
            run_id=run_id,
            session_id=session_id,
            step_requirements=step_requirements,
            stream=stream,
            stream_events=stream_events,
            background=background,
            websocket=websocket,
            **kwargs,
        )

    def update_session_state(  # pyright: ignore[reportIncompatibleMethodOverride]  # agno's name of the argument
        self, session_state_updates: dict[str, Any], session_id: str | None = None
    ) -> dict[str, Any]:
        return super().update_session_state(session_state_updates, session_id)

    async def aupdate_session_state(  # pyright: ignore[reportIncompatibleMethodOverride]  # likewise
        self, session_state_updates: dict[str, Any], session_id: str | None = None
    ) -> dict[str, Any]:
        return await super().aupdate_session_state(session_state_updates, session_id)

    def deep_copy(self, *, update: dict[str, Any] | None = None) -> Self:
        """A workflow of the same configuration, with what ``update`` changes; the database is shared."""
        names = [name for name in inspect.signature(Workflow.__init__).parameters if name not in ("self", "strict")]
        return type(self)(**{**{name: getattr(self, name) for name in names}, **(update or {})})
