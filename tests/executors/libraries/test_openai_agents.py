"""The OpenAI Agents SDK, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agents import (
    Agent,
    MaxTurnsExceeded,
    Model,
    ModelResponse,
    RunConfig,
    RunContextWrapper,
    SQLiteSession,
    Usage,
    UserError,
    function_tool,
    set_tracing_disabled,
)
from agents.exceptions import ModelBehaviorError
from agents.realtime import RealtimeAgent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from workflow_runtime import BuildError, RunStatus, Step, Workflow
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.executor_kills import Kills
from workflow_runtime.testing.executor_script import Verdict, charge, fail, heard, log, logged, mail, pay

set_tracing_disabled(True)


class Scripted(Model):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        turn = self.script.play(answers(input), input)
        usage = Usage(requests=1, input_tokens=turn.input_tokens, output_tokens=turn.output_tokens)
        return ModelResponse(output=response(turn).output, usage=usage, response_id="r")

    async def stream_response(self, instructions: Any, given: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        turn = self.script.play(answers(given), given)
        for number, text in enumerate(turn.text):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                delta=text,
                item_id="m",
                output_index=0,
                content_index=0,
                logprobs=[],
                sequence_number=number,
            )
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        for event in self.last(response(turn)):
            yield event

    def last(self, whole: Response) -> list[Any]:
        return [ResponseCompletedEvent(type="response.completed", response=whole, sequence_number=99)]


def answers(given: Any) -> int:
    """How many responses are in the conversation: what the model has said without a break is one."""
    if isinstance(given, str):
        return 0
    theirs = [item.get("role") == "assistant" or item.get("type") == "function_call" for item in given]
    return sum(mine and not before for before, mine in zip([False, *theirs], theirs, strict=False))


def response(turn: Turn) -> Response:
    text = json.dumps(turn.structured) if turn.structured is not None else "".join(turn.text)
    output: list[Any] = []
    if text:
        part = ResponseOutputText(type="output_text", text=text, annotations=[])
        output.append(
            ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[part])
        )
    for call in turn.calls:
        output.append(
            ResponseFunctionToolCall(
                type="function_call", name=call.name, arguments=json.dumps(call.arguments), call_id=call.id
            )
        )
    usage = ResponseUsage(
        input_tokens=turn.input_tokens,
        output_tokens=turn.output_tokens,
        total_tokens=turn.input_tokens + turn.output_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
    )
    return Response(
        id="r",
        created_at=0,
        model="scripted",
        object="response",
        output=output,
        tool_choice="auto",
        tools=[],
        parallel_tool_calls=True,
        status="completed",
        usage=usage,
    )


class TestOpenAIAgents(ExecutorContract):
    library = "openai-agents"
    raises_tool_errors = False

    def agent(self, script: Script) -> Any:
        return Agent(
            name=script.name,
            model=Scripted(script),
            tools=[function_tool(tool, needs_approval=tool.__name__ in script.approve) for tool in script.tools],
            output_type=Verdict() if script.structured else None,
        )


DONE = Turn(text=("all ", "is ", "done"))
PAY = Turn(calls=[ToolCall("pay", {"eur": 9}, "c3")])
CHARGE = Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")])
MAIL = Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")])
agent_of = TestOpenAIAgents().agent


def of(
    agent: Agent[Any], *, durable: bool | None = None, max_retries: int = 0, given: Any = None, **options: Any
) -> Workflow:
    step = Step("clerk", agent=agent, durable=durable, max_retries=max_retries, executor_options=given)
    return Workflow(name="w", steps=[step], store_events=True, **options)


class Till:
    opened = 0


class TestMore(Kills):
    cases: ClassVar[dict[str, Script]] = {
        "session": Script(turns=[CHARGE, MAIL, DONE], tools=[charge, mail]),
        "inner": Script(turns=[CHARGE, DONE], tools=[charge]),
    }

    def workflow(self, script: Script, *, db: Any = None, **options: Any) -> Workflow:
        agent, given = agent_of(script), {}
        if script is self.cases["session"]:
            given = {"session": SQLiteSession("s", str(db).removeprefix("sqlite:///") + "-items")}
        else:
            outer = Script(
                turns=[Turn(calls=[ToolCall("cashier", {"input": "charge"}, "t1")]), MAIL, DONE], tools=[mail]
            )
            agent, inner = agent_of(outer), agent
            agent.tools.append(inner.as_tool("cashier", "charges"))
        return of(agent, db=db, given=given, durability="sync", lease=1.0, evict_after=0.0, **options)

    async def test_a_handover_speaks_with_the_other_agents_name(self, stored: dict[str, Any]) -> None:
        other = agent_of(Script(name="cashier", turns=[Turn(text=["never"]), CHARGE, DONE], tools=[charge]))
        handover = Turn(calls=[ToolCall("transfer_to_cashier", {}, "h1")])
        agent = agent_of(Script(turns=[handover]))
        agent.handoffs.append(other)
        output = await of(agent, **stored).arun("refund")
        assert output.content == "all is done"
        told = [
            (event.event, event.executor_name)
            for event in output.events or ()
            if event.event.startswith(("Run", "Tool"))
        ]
        assert told == [
            ("RunStarted", "clerk"),
            ("ToolCallStarted", "clerk"),
            ("ToolCallCompleted", "clerk"),
            ("ToolCallStarted", "cashier"),
            ("ToolCallCompleted", "cashier"),
            *[("RunContent", "cashier")] * 3,
            ("RunCompleted", "clerk"),
        ]
        assert (type(agent), agent.handoffs, type(other.model)) == (Agent, [other], Scripted)

    async def test_a_tool_of_an_agent_that_is_a_tool_waits_for_a_yes(self, kept: dict[str, Any]) -> None:
        def agent() -> Agent[Any]:
            inner = agent_of(Script(name="cashier", turns=[PAY, DONE], tools=[pay], approve=["pay"]))
            found = agent_of(Script(turns=[Turn(calls=[ToolCall("cashier", {"input": "pay"}, "t1")]), DONE]))
            found.tools.append(inner.as_tool("cashier", "pays"))
            return found

        output = await of(agent(), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        assert [item["tool_execution"]["tool_name"] for item in asked.executor_requirements or ()] == ["pay"]
        asked.confirm()
        done = await of(agent(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == ["model", "model", "pay", "model", "model"]

    @pytest.mark.parametrize(
        ("case", "before"),
        [
            ("session", ["model", "charge", "model", "mail"]),
            ("inner", ["model", "model", "charge", "model", "model", "mail"]),
        ],
    )
    async def test_a_killed_run_repeats_nothing(self, tmp_path: Path, case: str, before: list[str]) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail(case, url)
        assert logged() == before
        done = await self.recovered(case, url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == [*before, "mail", "model"]
        if case == "session":
            items = await SQLiteSession("s", f"{tmp_path / 'runs.db'}-items").get_items()
            kinds = [item.get("type") or item.get("role") for item in items]
            calls = ["function_call", "function_call_output"]
            assert [kind for kind in kinds if kind != "message"] == ["user", *calls, *calls]

    async def test_a_rejected_tool_has_not_begun_and_an_approved_one_begins_then(self, kept: dict[str, Any]) -> None:
        for yes in (True, False):
            script = Script(turns=[PAY, DONE], tools=[pay], approve=["pay"])
            run_id = f"r{yes}"
            output = await of(agent_of(script), **kept).arun("refund", run_id=run_id)
            (asked,) = output.active_step_requirements
            asked.confirm() if yes else asked.reject("too dear")
            done = await of(agent_of(script), **kept).acontinue_run(run_id=run_id, step_requirements=[asked])
            names = [event.event for event in done.events or () if event.event.startswith(("RunP", "RunCont", "Tool"))]
            tool = ["ToolCallStarted", "ToolCallCompleted"] if yes else []
            assert names == ["RunPaused", "RunContinued", *tool, *["RunContent"] * 3]

    async def test_an_agent_that_lost_its_name_cannot_be_continued(self, kept: dict[str, Any]) -> None:
        script = Script(turns=[PAY, DONE], tools=[pay], approve=["pay"])
        output = await of(agent_of(script), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        asked.confirm()
        script.name = "another"
        with pytest.raises(UserError, match="clerk"):
            await of(agent_of(script), **kept).acontinue_run(run_id="r", step_requirements=[asked])

    async def test_the_librarys_own_options_are_passed_on(self, stored: dict[str, Any]) -> None:
        @function_tool
        def open_till(context: RunContextWrapper[Till]) -> str:
            context.context.opened += 1
            return "opened"

        script = Script(turns=[Turn(calls=[ToolCall("open_till", {}, "c1")]), DONE])
        agent = Agent(name="clerk", model="never-asked", tools=[open_till])
        till = Till()
        given = {"context": till, "run_config": RunConfig(model=Scripted(script))}
        assert (await of(agent, given=given, **stored).arun("refund")).content == "all is done"
        assert till.opened == 1
        given["max_turns"] = 1
        with pytest.raises(MaxTurnsExceeded):
            await of(agent, given=given, **stored).arun("refund")

    async def test_a_tool_that_may_fail_the_run_fails_it(self, stored: dict[str, Any]) -> None:
        agent = agent_of(Script(turns=[Turn(calls=[ToolCall("fail", {}, "c1")]), DONE]))
        agent.tools.append(function_tool(fail, failure_error_function=None))
        with pytest.raises(UserError) as raised:
            await of(agent, **stored).arun("refund")
        assert isinstance(raised.value.__cause__, ConnectionError)

    async def test_a_response_that_was_cut_short_is_asked_for_again(self, stored: dict[str, Any]) -> None:
        class Cut(Scripted):
            def last(self, whole: Response) -> list[Any]:
                if logged().count("model") > 1:
                    return super().last(whole)
                return [ResponseIncompleteEvent(type="response.incomplete", response=whole, sequence_number=99)]

        agent = Agent(name="clerk", model=Cut(Script(turns=[DONE])))
        with pytest.raises(ModelBehaviorError, match="incomplete"):
            await of(agent, **stored).arun("refund")
        assert (await of(agent, max_retries=1, **stored).arun("refund")).content == "all is done"

    async def test_a_service_may_leave_the_output_out_of_the_last_event(self, kept: dict[str, Any]) -> None:
        class Sparse(Scripted):
            def last(self, whole: Response) -> list[Any]:
                items = [
                    ResponseOutputItemDoneEvent(
                        type="response.output_item.done", item=item, output_index=number, sequence_number=number
                    )
                    for number, item in enumerate(whole.output)
                ]
                return [*items, *super().last(whole.model_copy(update={"output": []}))]

        async def flaky() -> str:
            log("flaky")
            if logged().count("flaky") == 1:
                raise ConnectionError("the bank is closed")
            return "open now"

        script = Script(turns=[Turn(calls=[ToolCall("flaky", {}, "c1")]), DONE])
        tool = function_tool(flaky, failure_error_function=None)
        agent = Agent(name="clerk", model=Sparse(script), tools=[tool])
        assert (await of(agent, max_retries=1, **kept).arun("refund")).content == "all is done"
        again = [] if kept.get("durable") is not False else ["model"]
        assert logged() == ["model", "flaky", *again, "flaky", "model"]
        assert "open now" in heard()

    def test_what_talks_over_a_connection_of_its_own_is_refused(self) -> None:
        with pytest.raises(BuildError, match="a RealtimeAgent talks over a connection of its own"):
            Workflow(steps=[Step("clerk", agent=RealtimeAgent(name="clerk"))])
