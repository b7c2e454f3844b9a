"""The MCP server over the Service: each workflow is a tool, and a call of it is a run."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import HTTPConnection

from ... import Event, StepCompletedEvent, StepProgressEvent, Workflow, WorkflowRunOutput
from ..auth import ANYBODY, User
from ..errors import Refused, as_refused
from ..http.call import VERSION, user_of
from ..requests import StartRun
from ..served_run import ServedRun
from ..service import Service
from .asking import answer_of, form_of
from .tools import ANSWER, answer_tool, names, open_questions, result, told, tool

__all__ = ["mcp_server"]

Context = ServerRequestContext[Any, Any]
Found = types.CallToolResult | types.InputRequiredResult


def mcp_server(service: Service, name: str = "workflow_runtime") -> Server[Any]:
    """A server of the protocol whose tools are the workflows, and one more that answers a paused run.

    A call that the client gives up cancels its run. A run that pauses asks the client's user, where the client can do
    that; else the result names the run and says how it is answered.
    """
    tools = names(service.workflows.values())

    async def list_tools(_: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[*(tool(*item) for item in tools.items()), answer_tool()])

    async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> Found:
        try:
            return await _called(service, tools, ctx, params)
        except Exception as error:
            refused = as_refused(error)
            if refused is None:
                raise
            return told(refused.message, {"code": refused.code}, is_error=True)

    return Server(name, version=VERSION, on_list_tools=list_tools, on_call_tool=call_tool)


async def _called(
    service: Service, tools: dict[str, Workflow], ctx: Context, params: types.CallToolRequestParams
) -> Found:
    user, given = _user(ctx), dict(params.arguments or {})
    if params.name == ANSWER:
        workflow = service.workflow(_text(given, "workflow_id"))
        answers = given.get("answers")
        if not isinstance(answers, dict) or not all(isinstance(item, dict) for item in answers.values()):
            raise Refused(400, "bad_answer", "answers maps a requirement's id to an object")
        run = await service.proceed(user, workflow.id, _text(given, "run_id"), answers)
        return await _followed(service, user, workflow, ctx, run)
    found = tools.get(params.name)
    if found is None:
        raise Refused(404, "workflow_not_found", f"there is no tool {params.name!r}")
    if params.request_state:
        return await _answered(service, user, found, ctx, params)
    start = StartRun(input=given if found.input_schema is not None else given.get("input"))
    return await _followed(service, user, found, ctx, await service.begin(user, found.id, start))


def _user(ctx: Context) -> User:
    """Who asks: as the app's guard found out over HTTP, nobody in particular over stdio."""
    return user_of(ctx.request) if isinstance(ctx.request, HTTPConnection) else ANYBODY


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise Refused(400, "bad_request", f"{name} must be a text")
    return value


async def _followed(
    service: Service, user: User, workflow: Workflow, ctx: Context, run: ServedRun, progress: _Progress | None = None
) -> Found:
    """The run to its end or its pause, with a progress notification for each step that ended."""
    progress = progress or _Progress(ctx)
    async with run:
        async for event in run:
            await progress.tell(event)
        output = await run.output()
    if not output.is_paused:
        return result(workflow, output)
    return await _paused(service, user, workflow, ctx, output, progress)


class _Progress:
    """Counts the steps that have ended; what a step says of its own progress is the part between two numbers."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._steps = 0
        self._said = -1.0

    async def tell(self, event: Event) -> None:
        if isinstance(event, StepCompletedEvent):
            self._steps += 1
            await self._say(float(self._steps), f"{event.step_name} is done")
        elif isinstance(event, StepProgressEvent) and event.total:
            part = min(event.done / event.total, 0.99)
            await self._say(self._steps + part, event.text or f"{event.step_name}: {event.done:g} of {event.total:g}")

    async def _say(self, progress: float, message: str) -> None:
        if progress > self._said:  # the protocol wants it to grow
            self._said = progress
            await self._ctx.session.report_progress(progress, None, message)


# -- questions ---------------------------------------------------------------------------------------------------------


async def _paused(
    service: Service,
    user: User,
    workflow: Workflow,
    ctx: Context,
    output: WorkflowRunOutput,
    progress: _Progress,
) -> Found:
    """Ask the client's user if that can be done here; else the result says what is asked."""
    asked = open_questions(output)
    forms = {item.id: form_of(item) for item in asked}
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None or None in forms.values():
        return result(workflow, output)
    requests = {key: form for key, form in forms.items() if form is not None}
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        # The client comes back with the answers and the run's id; whose run that is, is looked at then.
        return types.InputRequiredResult(
            input_requests={key: types.ElicitRequest(params=form) for key, form in requests.items()},
            request_state=output.run_id,
        )
    if not ctx.session.can_send_request:
        return result(workflow, output)
    answers: dict[str, dict[str, Any]] = {}
    for item in asked:
        form = requests[item.id]
        said = await ctx.session.elicit_form(
            form.message, form.requested_schema, str(ctx.request_id) if ctx.request_id is not None else None
        )
        answer = answer_of(item, said)
        if answer is None:
            return result(workflow, output)
        answers[item.id] = answer
    run = await service.proceed(user, workflow.id, str(output.run_id), answers)
    return await _followed(service, user, workflow, ctx, run, progress)


async def _answered(
    service: Service, user: User, workflow: Workflow, ctx: Context, params: types.CallToolRequestParams
) -> Found:
    """The call comes again with what the user said."""
    output = await service.run(user, workflow.id, str(params.request_state))
    answers: dict[str, dict[str, Any]] = {}
    for item in open_questions(output):
        said = (params.input_responses or {}).get(item.id)
        answer = answer_of(item, said) if isinstance(said, types.ElicitResult) else None
        if answer is None:
            return result(workflow, output)
        answers[item.id] = answer
    run = await service.proceed(user, workflow.id, str(output.run_id), answers)
    return await _followed(service, user, workflow, ctx, run)
