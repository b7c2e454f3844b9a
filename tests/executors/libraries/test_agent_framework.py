"""Microsoft Agent Framework, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agent_framework import (
    Agent,
    AgentExecutor,
    AgentResponse,
    AgentResponseUpdate,
    BaseAgent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FileHistoryProvider,
    FunctionInvocationContext,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
    ResponseStream,
    UsageDetails,
    WorkflowBuilder,
    function_middleware,
    tool,
)
from agent_framework.openai import OpenAIChatCompletionClient

from workflow_runtime import BuildError, RunStatus, Step, Workflow
from workflow_runtime.executors import current_context
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.chat_server import served
from workflow_runtime.testing.executor_kills import KillContract, Kills
from workflow_runtime.testing.executor_script import Verdict, charge, fail, heard, log, logged, mail, pay


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **_: Any) -> Any:
        if stream:
            return self._build_response_stream(self._updates(messages), response_format=options.get("response_format"))
        return self._whole(messages)

    def _turn(self, messages: Any) -> Turn:
        given = [[content.to_dict() for content in message.contents] for message in messages]
        return self.script.play(sum(message.role == "assistant" for message in messages), given)

    async def _whole(self, messages: Any) -> ChatResponse:
        turn = self._turn(messages)
        if turn.error is not None:
            raise turn.error
        text = [Content.from_text("".join(turn.text))] if turn.text else []
        message = Message(role="assistant", contents=[*text, *last(turn)])
        return ChatResponse(messages=[message], usage_details=usage(turn))

    async def _updates(self, messages: Any) -> AsyncIterator[ChatResponseUpdate]:
        turn = self._turn(messages)
        for text in turn.text:
            yield update(Content.from_text(text))
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        yield update(*last(turn), Content.from_usage(usage(turn)), finish_reason="tool_calls" if turn.calls else "stop")


def update(*contents: Content, **fields: Any) -> ChatResponseUpdate:
    return ChatResponseUpdate(role="assistant", contents=list(contents), **fields)


def last(turn: Turn) -> list[Content]:
    text = [Content.from_text(json.dumps(turn.structured))] if turn.structured is not None else []
    calls = [Content.from_function_call(c.id, c.name, arguments=json.dumps(c.arguments)) for c in turn.calls]
    return [*text, *calls]


def usage(turn: Turn) -> UsageDetails:
    return UsageDetails(input_token_count=turn.input_tokens, output_token_count=turn.output_tokens)


def tools(script: Script) -> list[Any]:
    return [
        tool(item, approval_mode="always_require" if item.__name__ in script.approve else "never_require")
        for item in script.tools
    ]


class TestAgentFramework(ExecutorContract):
    library = "agent-framework"
    raises_tool_errors = False

    def agent(self, script: Script) -> Any:
        options: Any = {"response_format": Verdict()} if script.structured else None
        return Agent(client=Scripted(script), name=script.name, tools=tools(script), default_options=options)


DONE = Turn(text=("all ", "is ", "done"))
PAY = Turn(calls=[ToolCall("pay", {"eur": 9}, "c3")])
CHARGE = Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")])
MAIL = Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")])
agent_of = TestAgentFramework().agent


def of(agent: Any, *, durable: bool | None = None, given: Any = None, state: Any = None, **options: Any) -> Workflow:
    step = Step("clerk", agent=agent, durable=durable, executor_options=given)
    return Workflow(name="w", steps=[step], store_events=True, session_state=state, **options)


class TestOfTheLibrary(Kills):
    """What only this library has."""

    library = "agent-framework"
    cases: ClassVar[dict[str, Script]] = {
        "fail, then mail": Script(turns=[Turn(calls=[ToolCall("fail", {}, "c1")]), MAIL, DONE], tools=[fail, mail]),
    }

    def agent(self, script: Script) -> Any:
        return agent_of(script)

    async def test_the_result_of_a_tool_that_runs_elsewhere_is_given(self, kept: dict[str, Any]) -> None:
        def agent() -> Any:
            made = agent_of(Script(turns=[Turn(calls=[ToolCall("ship", {"to": "Rome"}, "c1")]), DONE]))
            schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
            made.default_options["tools"] = [
                FunctionTool(name="ship", description="Ship.", func=None, input_model=schema)
            ]
            return made

        output = await of(agent(), **kept).arun("refund", run_id="r")
        assert output.status is RunStatus.paused
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert (item["tool_execution"]["tool_name"], item["tool_execution"]["tool_args"]) == ("ship", {"to": "Rome"})
        asked.answer({"executor_requirements": [{"id": item["id"], "external_execution_result": "shipped by mule"}]})
        done = await of(agent(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert "shipped by mule" in heard()
        assert logged() == ["model", "model"]

    @pytest.mark.parametrize(("yes", "calls"), [(True, ["charge", "pay"]), (False, ["charge"])])
    async def test_a_call_beside_one_that_waits_runs_once(
        self, kept: dict[str, Any], yes: bool, calls: list[str]
    ) -> None:
        def agent() -> Any:
            turn = Turn(calls=[*CHARGE.calls, *PAY.calls])
            return agent_of(Script(turns=[turn, DONE], tools=[charge, pay], approve=["pay"]))

        output = await of(agent(), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        assert [item["tool_execution"]["tool_name"] for item in asked.executor_requirements or ()] == ["pay"]
        asked.confirm() if yes else asked.reject("too dear")
        done = await of(agent(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert sorted(call for call in logged() if call != "model") == calls
        assert logged().count("model") == 2
        tools = sorted(event.tool["tool_name"] for event in done.events or () if event.event == "ToolCallCompleted")
        assert tools == calls

    async def test_a_tool_finds_the_session_state_in_its_context(self, stored: dict[str, Any]) -> None:
        @tool
        def count(ctx: FunctionInvocationContext) -> str:
            """Count."""
            state = ctx.kwargs["session_state"]
            state["count"] = state["count"] + 1
            return f"counted {state['count']} in {ctx.kwargs['session_id']}"

        calls = [Turn(calls=[ToolCall("count", {}, f"c{number}")]) for number in range(2)]
        agent = agent_of(Script(turns=[*calls, DONE]))
        agent.default_options["tools"] = [count]
        output = await of(agent, state={"count": 1}, **stored).arun("refund", session_id="s")
        assert output.session_state == {"count": 3}
        assert "counted 3 in s" in heard()

    async def test_an_agent_that_is_a_tool_is_called(self, stored: dict[str, Any]) -> None:
        inner = agent_of(Script(name="cashier", turns=[CHARGE, Turn(text=("charged all",))], tools=[charge]))
        outer = agent_of(Script(turns=[Turn(calls=[ToolCall("cashier", {"task": "charge"}, "t1")]), DONE]))
        outer.default_options["tools"] = [inner.as_tool()]
        output = await of(outer, **stored).arun("refund")
        assert output.content == "all is done"
        assert logged() == ["model", "model", "charge", "model", "model"]
        assert "charged all" in heard()
        text = [event.content for event in output.events or () if event.event == "RunContent"]
        assert text == ["all ", "is ", "done"]

    async def test_the_history_of_a_provider_is_kept(self, stored: dict[str, Any], tmp_path: Path) -> None:
        script = Script(turns=[Turn(text=("first",)), Turn(text=("second",)), Turn(text=("half",), error=OSError("x"))])
        agent = agent_of(script)
        agent.context_providers.append(FileHistoryProvider(tmp_path / "history"))
        workflow = of(agent, **stored)
        contents = [(await workflow.arun(f"question {number}", session_id="s")).content for number in range(2)]
        assert contents == ["first", "second"]
        with pytest.raises(OSError, match="x"):
            await workflow.arun("question 2", session_id="s")
        assert heard().count("question 0") == 3
        (file,) = (tmp_path / "history").iterdir()
        assert "question 2" not in file.read_text()

    async def test_middleware_of_the_user_works(self, stored: dict[str, Any]) -> None:
        @function_middleware
        async def before(context: FunctionInvocationContext, call_next: Any) -> None:
            log(f"before-{context.function.name}")
            await call_next()

        agent = agent_of(Script(turns=[CHARGE, DONE], tools=[charge]))
        agent.middleware = [before]
        output = await of(agent, given={"middleware": [before]}, **stored).arun("refund")
        assert output.content == "all is done"
        assert logged() == ["model", "before-charge", "before-charge", "charge", "model"]

    async def test_an_agent_with_a_run_of_its_own(self, stored: dict[str, Any]) -> None:
        class Parrot(BaseAgent):
            def run(self, messages: Any = None, *, stream: bool = False, session: Any = None, **_: Any) -> Any:
                async def updates() -> AsyncIterator[AgentResponseUpdate]:
                    for word in ("pretty ", "bird"):
                        yield AgentResponseUpdate(role="assistant", contents=[Content.from_text(word)])

                return ResponseStream(updates(), finalizer=AgentResponse.from_updates)

        output = await of(Parrot(name="parrot"), **stored).arun("refund")
        assert output.content == "pretty bird"
        assert [event.content for event in output.events or () if event.event == "RunContent"] == ["pretty ", "bird"]

    async def test_synchronous_tools_run_in_a_thread(self, stored: dict[str, Any]) -> None:
        threads: list[bool] = []

        @tool
        def look() -> str:
            """Look."""
            threads.append(threading.current_thread() is threading.main_thread())
            current_context().session_state["seen"] = True
            return "seen"

        agent = agent_of(Script(turns=[Turn(calls=[ToolCall("look", {}, "c9")]), DONE]))
        agent.default_options["tools"] = [look]
        output = await of(agent, **stored).arun("refund", session_id="s")
        assert (output.content, threads, output.session_state) == ("all is done", [False], {"seen": True})

    async def test_a_tool_runs_when_its_request_is_recorded(self, tmp_path: Path) -> None:
        @tool
        def look() -> str:
            """Look."""
            with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
                paths = [path for (path,) in database.execute("select path from workflow_steps")]
            return f"recorded: {any(path.endswith('model#0') for path in paths)}"

        agent = agent_of(Script(turns=[Turn(calls=[ToolCall("look", {}, "c1")]), DONE]))
        agent.default_options["tools"] = [look]
        await of(agent, db=f"sqlite:///{tmp_path / 'runs.db'}", durability="sync").arun("refund")
        assert "recorded: True" in heard()

    async def test_a_failed_tool_is_not_called_again_by_a_recovery(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("fail, then mail", url)
        assert logged() == ["model", "fail", "model", "mail"]
        done = await self.recovered("fail, then mail", url)
        assert done.content == "all is done, closed"
        assert logged() == ["model", "fail", "model", "mail", "mail", "model"]
        tools = [event.event for event in done.events or () if event.event.startswith("ToolCall")]
        assert tools == ["ToolCallStarted", "ToolCallError", "ToolCallStarted", "ToolCallCompleted"]

    async def test_the_text_of_a_response_is_one_record(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await of(agent_of(ExecutorContract.cases["tool"]), db=url).arun("refund")
        with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
            rows = database.execute("select data from workflow_steps where path like '%model#1'").fetchall()
        assert "all is done" in str(rows)

    async def test_the_users_agent_is_not_changed(self, stored: dict[str, Any]) -> None:
        agent = agent_of(ExecutorContract.cases["tool"])
        await of(agent, **stored).arun("refund")
        before = {name: repr(value) for name, value in vars(agent).items() if not name.startswith("_cached")}
        await of(agent, **stored).arun("refund")
        after = {name: repr(value) for name, value in vars(agent).items() if not name.startswith("_cached")}
        assert after == before

    def test_a_workflow_of_the_library_is_refused(self) -> None:
        flow = WorkflowBuilder(start_executor=AgentExecutor(agent_of(Script(turns=[DONE])))).build()
        with pytest.raises(BuildError, match="a Workflow of Agent Framework is no agent"):
            Workflow(steps=[Step("clerk", agent=flow)])


class TestThroughAProvider(KillContract):
    """The same with the client of a provider, which streams calls in pieces."""

    library = "agent-framework"

    def agent(self, script: Script) -> Any:
        client = OpenAIChatCompletionClient(model="gpt-5", api_key="none", base_url=served(script))
        return Agent(client=client, name=script.name, tools=tools(script))
