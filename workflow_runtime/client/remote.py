"""RemoteWorkflow: a workflow of another server as a step of a local one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from ..core.position import Position
from ..model.enums import RunStatus
from ..model.errors import RunCancelledError
from ..model.events import Event
from ..model.media import Audio, File, Image, Video
from ..model.requirements import ErrorRequirement, StepRequirement, requirement_from_dict
from ..model.run import WorkflowRunOutput
from .client import Client, WorkflowClient
from .run import RemoteRun

__all__ = ["RemoteOutput", "RemoteWorkflow"]

# Events about the remote run as a whole are published by the step instead: it pauses, fails, or is cancelled.
_OWN = ("WorkflowPaused", "WorkflowError", "WorkflowCancelled")


class RemoteOutput(msgspec.Struct, kw_only=True):
    """What a step stores about its remote run. ``requirements`` are its open questions, one mapping each, as those of
    agents: ``id``, the question, and after an answer ``confirmation`` or ``user_input``."""

    content: Any = None
    run_id: str
    session_id: str | None = None
    status: RunStatus = RunStatus.completed
    last_seq: int = 0
    epoch: int = 0
    requirements: list[dict[str, Any]] | None = None

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.paused


class RemoteWorkflow:
    """``Step(agent=RemoteWorkflow("https://flows.example.com", "research"))``, or just an item of ``steps``.

    The remote run's events appear among the local ones, one level deeper and under the step's path. The local run asks its
    questions and sends the answers back. Cancelling the local run cancels it. Its id is derived from the local run's id,
    the step's path and the attempt: after a lost response, or in another process after a crash, the run is found and
    continued, not started twice. It has the input, the media and the session of the step, not the state.

    Args:
        url, token, headers, timeout, reconnect, types: As of ``Client``.
        workflow_id: Which workflow of that server.
        name: The step's name, if it has no other; default: ``workflow_id``.
    """

    def __init__(
        self,
        url: str,
        workflow_id: str,
        *,
        name: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        reconnect: float = 60.0,
        types: Iterable[type] = (),
    ) -> None:
        self.name = name or workflow_id
        self.id = workflow_id
        self.url = url
        self._knows_user = token is not None or bool(headers)
        self._options: dict[str, Any] = {
            "token": token,
            "headers": headers,
            "timeout": timeout,
            "reconnect": reconnect,
            "types": tuple(types),
        }

    def __repr__(self) -> str:
        return f"RemoteWorkflow({self.url!r}, {self.id!r})"

    async def arun(
        self,
        input: Any,
        *,
        run_context: Any,
        session_id: str | None = None,
        user_id: str | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        audio: Sequence[Audio] | None = None,
        files: Sequence[File] | None = None,
    ) -> AsyncIterator[Event | RemoteOutput]:
        """The executor's verb: the events of the remote run as they come, and at the end its output."""
        key = f"{run_context.idempotency_key}:{run_context.attempt}"
        async with Client(self.url, **self._options) as client:
            run = client.workflow(self.id).run(
                input,
                run_id=f"remote_{hashlib.sha256(key.encode()).hexdigest()[:32]}",
                session_id=session_id,
                user_id=None if self._knows_user else user_id,  # the server identifies the caller by the token
                images=images,
                videos=videos,
                audio=audio,
                files=files,
                metadata={"parent_run_id": run_context.run_id, "parent_path": run_context.path},
                stream_events=True,
                background=True,
                attach=True,
            )
            async with aclosing(_followed(run, run_context)) as items:
                async for item in items:
                    yield item

    async def acontinue_run(
        self, run_response: Any, requirements: list[dict[str, Any]], run_context: Any
    ) -> AsyncIterator[Event | RemoteOutput]:
        """The executor's verb for an answered pause: the events from there on, and at the end the output."""
        paused = msgspec.convert(msgspec.to_builtins(run_response), RemoteOutput)
        async with Client(self.url, **self._options) as client:
            workflow: WorkflowClient = client.workflow(self.id)
            run = workflow.continue_run(
                run_id=paused.run_id,
                answers={item["id"]: _answer(item) for item in requirements},
                after=str(Position(paused.epoch, paused.last_seq)) if paused.epoch else paused.last_seq,
                stream_events=True,
                background=True,
                attach=True,
            )
            async with aclosing(_followed(run, run_context)) as items:
                async for item in items:
                    yield item


async def _followed(run: RemoteRun, run_context: Any) -> AsyncGenerator[Event | RemoteOutput, None]:
    wanted = True
    try:
        async for event in run:
            if not (event.nested_depth == 0 and event.event in _OWN):
                yield event
        output = await run.result()
        wanted = False
    finally:
        # A process that releases the local run leaves the remote one to the process that continues both.
        if wanted and not run_context.released:
            await run.acancel()
        await run.aclose()
    if output.is_cancelled:
        raise RunCancelledError(f"the remote run {output.run_id} was cancelled there")
    yield _as_output(output)


def _as_output(output: WorkflowRunOutput) -> RemoteOutput:
    asked: list[StepRequirement | ErrorRequirement] = [
        *output.active_step_requirements,
        *output.active_error_requirements,
    ]
    return RemoteOutput(
        content=output.content,
        run_id=str(output.run_id),
        session_id=output.session_id,
        status=output.status,
        last_seq=output.last_seq,
        epoch=output.epoch,
        requirements=[_question(item) for item in asked] or None,
    )


def _question(asked: StepRequirement | ErrorRequirement) -> dict[str, Any]:
    """The remote question in the form of an executor's: a question that needs more than a yes or a no is a form."""
    item: dict[str, Any] = {
        "id": asked.id,
        "kind": asked.kind,
        "step_name": asked.step_name,
        "schema": asked.schema(),
        "requirement": asked.to_dict() | {"kind": asked.kind},
    }
    if isinstance(asked, ErrorRequirement):
        choices = ["retry", "skip"]
        item["message"] = f"{asked.step_name} failed: {asked.error_message}"
        item["user_input_schema"] = [{"name": "decision", "field_type": "str", "allowed_values": choices}]
        return item
    item["message"] = asked.confirmation_message or asked.user_input_message or asked.output_review_message
    if asked.requires_route_selection:
        item["user_input_schema"] = [{"name": "selected_choices", "field_type": "list"}]
        item["input_json_schema"] = {
            "type": "object",
            "properties": {"selected_choices": item["schema"]["properties"]["selected_choices"]},
            "required": ["selected_choices"],
            "additionalProperties": False,
        }
    elif asked.requires_user_input:
        item["user_input_schema"] = [field.to_dict() for field in asked.user_input_schema or ()] or [
            {"name": "value", "field_type": "dict"}
        ]
        if "$defs" not in item["schema"]:  # its references count from a root that is not here
            item["input_json_schema"] = item["schema"]["properties"]["user_input"]
    return item


def _answer(item: dict[str, Any]) -> dict[str, Any]:
    """The answer to the remote question, as its own ``answer`` takes it."""
    asked = requirement_from_dict(item["requirement"])
    filled = item.get("user_input")
    if isinstance(asked, ErrorRequirement):
        return {"decision": (filled or {}).get("decision", "skip")}
    if item.get("confirmation") is False:
        asked.reject(item.get("confirmation_note"))
    elif filled is not None and asked.requires_route_selection:
        asked.select(*filled["selected_choices"])
    elif filled is not None:
        asked.answer({"user_input": filled})
    else:
        asked.confirm()
    return asked.given()
