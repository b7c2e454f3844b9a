"""Google ADK, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.adk.agents import LlmAgent, SequentialAgent
from google.adk.apps.app import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools import LongRunningFunctionTool, ToolContext
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.adk.workflow import FunctionNode
from google.adk.workflow import Workflow as AdkWorkflow
from google.genai import types

from workflow_runtime import BuildError, RunStatus, Step, Workflow
from workflow_runtime.executors import ExecutorError, current_context
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.chat_server import served
from workflow_runtime.testing.executor_kills import KillContract, Kills
from workflow_runtime.testing.executor_script import Verdict, charge, fail, heard, log, logged, mail, pay

os.environ["GOOGLE_API_KEY"] = "none"


class Scripted(BaseLlm):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    script: Any

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncIterator[LlmResponse]:
        contents = llm_request.contents
        turn = self.script.play(sum(content.role == "model" for content in contents), contents)
        for text in turn.text if stream else ():
            yield response([types.Part(text=text)], partial=True)
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        yield whole(turn)


def response(parts: list[types.Part], **fields: Any) -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=parts), **fields)


def whole(turn: Turn) -> LlmResponse:
    text = json.dumps(turn.structured) if turn.structured is not None else "".join(turn.text)
    parts = [types.Part(text=text)] if text else []
    for call in turn.calls:
        called = types.FunctionCall(id=call.id or None, name=call.name, args=dict(call.arguments))
        parts.append(types.Part(function_call=called))
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=turn.input_tokens, candidates_token_count=turn.output_tokens
    )
    return response(parts, partial=False, usage_metadata=usage)


class TestAdk(ExecutorContract):
    library = "google-adk"

    def agent(self, script: Script) -> Any:
        return LlmAgent(
            name=script.name,
            model=Scripted(model="scripted", script=script),
            tools=[FunctionTool(tool, require_confirmation=tool.__name__ in script.approve) for tool in script.tools],
            output_schema=Verdict() if script.structured else None,
        )


DONE = Turn(text=("all ", "is ", "done"))
PAY = Turn(calls=[ToolCall("pay", {"eur": 9}, "c3")])
CHARGE = Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")])
MAIL = Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")])
agent_of = TestAdk().agent


def of(agent: Any, *, durable: bool | None = None, given: Any = None, state: Any = None, **options: Any) -> Workflow:
    retries = options.pop("max_retries", 0)
    step = Step("clerk", agent=agent, durable=durable, executor_options=given, max_retries=retries)
    return Workflow(name="w", steps=[step], store_events=True, session_state=state, **options)


def member(name: str, turns: list[Turn], tools: list[Any], approve: tuple[str, ...] = ()) -> LlmAgent:
    """An agent of several, whose model counts its own answers only."""
    agent: LlmAgent = agent_of(Script(name=name, turns=turns, tools=tools, approve=approve))
    agent.model = Own(model="scripted", script=agent.model.script)
    agent.output_key = f"said_by_{name}"
    return agent


class Own(Scripted):
    """Counts the answers of its own agent: the others' are told as context, by the user."""


class TestTogether(Kills):
    """Agents in sequence, of which the first has a tool that waits for a yes."""

    library = "google-adk"
    cases: ClassVar[dict[str, Script]] = {"two": Script(turns=[])}

    def agent(self, script: Script) -> Any:
        first = member("cashier", [CHARGE, PAY, Turn(text=("paid",))], [charge, pay], ("pay",))
        second = member("writer", [MAIL, DONE], [mail])
        return SequentialAgent(name="crew", sub_agents=[first, second])

    def workflow(self, script: Script, *, durable: bool | None = None, db: Any = None, **options: Any) -> Workflow:
        step = Step("clerk", agent=self.agent(script), durable=durable)
        return Workflow(
            name="w", steps=[step], db=db, durability="sync", lease=1.0, store_events=True, evict_after=0.0, **options
        )

    async def test_the_next_agent_waits_for_the_answer(self, kept: dict[str, Any]) -> None:
        output = await self.workflow(self.cases["two"], **kept).arun("refund", run_id="r")
        assert output.status is RunStatus.paused
        assert logged() == ["model", "charge", "model"]
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert (item["agent"], item["tool_execution"]["tool_name"]) == ("cashier", "pay")
        asked.confirm()
        done = await self.workflow(self.cases["two"], **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == ["model", "charge", "model", "pay", "model", "model", "mail", "model"]
        assert done.session_state == {"said_by_cashier": "paid", "said_by_writer": "all is done"}
        told = [(event.event, event.executor_name) for event in done.events or () if event.event.startswith("ToolCall")]
        assert told == [
            (f"ToolCall{end}", who) for who in ("cashier", "cashier", "writer") for end in ("Started", "Completed")
        ]

    async def test_a_killed_sequence_repeats_nothing_that_was_recorded(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        output = await self.workflow(self.cases["two"], db=url).arun("refund", run_id="r")
        assert output.status is RunStatus.paused
        await self.killed_in_mail("two", url, "answer")
        before = ["model", "charge", "model", "pay", "model", "model", "mail"]
        assert logged() == before
        done = await self.recovered("two", url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == [*before, "mail", "model"]
        text = [(event.executor_name, event.content) for event in done.events or () if event.event == "RunContent"]
        assert text == [("cashier", "paid"), *(("writer", part) for part in ("all ", "is ", "done"))]

    async def test_an_agent_that_takes_over_speaks_with_its_name(self, stored: dict[str, Any]) -> None:
        other = member("cashier", [CHARGE, DONE], [charge])
        transfer = Turn(calls=[ToolCall("transfer_to_agent", {"agent_name": "cashier"}, "h1")])
        agent = agent_of(Script(turns=[transfer]))
        agent.sub_agents.append(other)
        other.parent_agent = agent
        output = await of(agent, **stored).arun("refund")
        assert output.content == "all is done"
        text = [(event.executor_name, event.content) for event in output.events or () if event.event == "RunContent"]
        assert text == [("cashier", part) for part in ("all ", "is ", "done")]
        assert logged() == ["model", "model", "charge", "model"]

    async def test_an_agent_that_is_a_tool_is_called(self, stored: dict[str, Any]) -> None:
        outer = agent_of(Script(turns=[Turn(calls=[ToolCall("cashier", {"request": "charge"}, "t1")]), DONE]))
        outer.tools = [AgentTool(member("cashier", [CHARGE, Turn(text=("charged all",))], [charge]))]
        output = await of(outer, **stored).arun("refund")
        assert output.content == "all is done"
        assert logged() == ["model", "model", "charge", "model", "model"]
        assert "charged all" in heard()


class TestOfTheLibrary(Kills):
    """What only this library has."""

    library = "google-adk"

    async def test_the_result_of_a_tool_that_runs_elsewhere_is_given(self, kept: dict[str, Any]) -> None:
        def ship(to: str) -> None:
            """Ship."""
            log("ship")

        def agent() -> Any:
            made = agent_of(Script(turns=[Turn(calls=[ToolCall("ship", {"to": "Rome"}, "c1")]), DONE]))
            made.tools = [LongRunningFunctionTool(ship)]
            return made

        output = await of(agent(), **kept).arun("refund", run_id="r")
        assert output.status is RunStatus.paused
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert item["tool_execution"]["tool_args"] == {"to": "Rome"}
        asked.answer({"executor_requirements": [{"id": item["id"], "external_execution_result": "shipped by mule"}]})
        done = await of(agent(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert "shipped by mule" in heard()
        assert logged() == ["model", "ship", "model"]

    async def test_a_confirmation_may_have_values(self, kept: dict[str, Any]) -> None:
        async def book(seats: int, tool_context: ToolContext) -> str:
            """Book."""
            if tool_context.tool_confirmation is None:
                tool_context.request_confirmation(hint="how many?", payload={"seats": 0})
                return "asked"
            log("book")
            return f"booked {tool_context.tool_confirmation.payload['seats']}"

        def agent() -> Any:
            made = agent_of(Script(turns=[Turn(calls=[ToolCall("book", {"seats": 9}, "c1")]), DONE]))
            made.tools = [book]
            return made

        output = await of(agent(), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert (item["hint"], item["payload"]) == ("how many?", {"seats": 0})
        asked.answer({"executor_requirements": [{"id": item["id"], "confirmation": True, "user_input": {"seats": 4}}]})
        done = await of(agent(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert "booked 4" in heard()
        assert logged() == ["model", "model", "book", "model"] or logged() == ["model", "book", "model"]

    async def test_its_own_state_is_the_runs(self, stored: dict[str, Any]) -> None:
        def count(tool_context: ToolContext) -> str:
            """Count."""
            state = tool_context.state
            state["count"] = state["count"] + 1
            state["temp:scratch"] = state["user:seen"] = 1
            return f"counted {state['count']}"

        calls = [Turn(calls=[ToolCall("count", {}, f"c{number}")]) for number in range(2)]
        agent = agent_of(Script(turns=[*calls, DONE]))
        agent.tools, agent.instruction = [count], "There were {count} before."
        output = await of(agent, state={"count": 1}, **stored).arun("refund", session_id="s")
        assert output.session_state == {"count": 3}
        assert "counted 3" in heard()

    async def test_synchronous_tools_run_in_a_thread(self, stored: dict[str, Any]) -> None:
        threads: list[bool] = []

        def look() -> str:
            """Look."""
            threads.append(threading.current_thread() is threading.main_thread())
            current_context().session_state["seen"] = True
            return "seen"

        agent = agent_of(Script(turns=[Turn(calls=[ToolCall("look", {}, "c9")]), DONE]))
        agent.tools = [look]
        output = await of(agent, **stored).arun("refund", session_id="s")
        assert (output.content, threads, output.session_state) == ("all is done", [False], {"seen": True})

    @pytest.mark.parametrize("around", ["options", "runner"])
    async def test_a_session_service_keeps_the_history(self, stored: dict[str, Any], around: str) -> None:
        service = InMemorySessionService()
        script = Script(turns=[Turn(text=("first",)), Turn(text=("second",)), Turn(text=("half",), error=OSError("x"))])
        agent = agent_of(script)
        given = {"session_service": service} if around == "options" else None
        if around == "runner":
            agent = Runner(app=App(name="clerk", root_agent=agent), session_service=service)
        workflow = of(agent, given=given, **stored)
        contents = [(await workflow.arun(f"question {number}", session_id="s")).content for number in range(2)]
        assert contents == ["first", "second"]
        assert heard().count("question 0") == 2
        with pytest.raises(OSError, match="x"):
            await workflow.arun("question 2", session_id="s")
        session = await service.get_session(app_name="clerk", user_id="user", session_id="s")
        assert session is not None
        told = [event.content.parts[0].text for event in session.events if event.content is not None]
        assert told == ["question 0", "first", "question 1", "second"]

    async def test_callbacks_plugins_and_toolsets_of_the_user_work(self, stored: dict[str, Any]) -> None:
        class Shop(BaseToolset):
            async def get_tools(self, readonly_context: Any = None) -> list[Any]:
                return [FunctionTool(charge), FunctionTool(fail)]

            async def close(self) -> None:
                """Nothing is open."""

        class Quiet(BasePlugin):
            async def on_tool_error_callback(self, **given: Any) -> dict[str, Any]:
                return {"result": f"could not: {given['error']}"}

        def before(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
            log(f"before-{tool.name}")

        calls = [ToolCall("shop_charge", {"eur": 5}, "c1"), ToolCall("shop_fail", {}, "c2")]
        agent = agent_of(Script(turns=[*(Turn(calls=[call]) for call in calls), DONE]))
        agent.tools, agent.before_tool_callback = [Shop(tool_name_prefix="shop")], before
        app = App(name="shop", root_agent=agent, plugins=[Quiet("quiet")])
        output = await of(app, **stored).arun("refund")
        assert output.content == "all is done"
        assert "could not: the bank is closed" in heard()
        assert logged() == ["model", "before-shop_charge", "charge", "model", "before-shop_fail", "fail", "model"]

    async def test_a_response_that_is_only_an_error_fails_the_step(self, stored: dict[str, Any]) -> None:
        class Blocked(Scripted):
            async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncIterator[Any]:
                log("model")
                if logged().count("model") == 1:
                    yield LlmResponse(error_code="SAFETY", error_message="not said")
                else:
                    yield whole(DONE)

        agent = LlmAgent(name="clerk", model=Blocked(model="scripted", script=None))
        with pytest.raises(ExecutorError, match="not said"):
            await of(agent, **stored).arun("refund")
        Path(os.environ["WORKFLOW_RUNTIME_CONTRACT_LOG"]).unlink()
        assert (await of(agent, max_retries=1, **stored).arun("refund")).content == "all is done"

    async def test_a_model_that_does_not_stream_is_published_once(self, stored: dict[str, Any]) -> None:
        class Whole(Scripted):
            async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncIterator[Any]:
                async for item in super().generate_content_async(llm_request, False):
                    yield item

        agent = LlmAgent(
            name="clerk", model=Whole(model="scripted", script=Script(turns=[CHARGE, DONE])), tools=[charge]
        )
        output = await of(agent, **stored).arun("refund")
        assert [event.content for event in output.events or () if event.event == "RunContent"] == ["all is done"]

    async def test_calls_without_an_id_are_told_once_after_a_recovery(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("no ids", url)
        done = await self.recovered("no ids", url)
        assert done.content == "all is done, closed"
        tools = [event.event for event in done.events or () if event.event.startswith("ToolCall")]
        assert tools == ["ToolCallStarted", "ToolCallCompleted"] * 2

    async def test_a_tool_runs_when_its_request_is_recorded(self, tmp_path: Path) -> None:
        def look() -> str:
            """Look."""
            with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
                paths = [path for (path,) in database.execute("select path from workflow_steps")]
            return f"recorded: {any(path.endswith('clerk.model#0') for path in paths)}"

        agent = agent_of(Script(turns=[Turn(calls=[ToolCall("look", {}, "c1")]), DONE]))
        agent.tools = [look]
        await of(agent, db=f"sqlite:///{tmp_path / 'runs.db'}", durability="sync").arun("refund")
        assert "recorded: True" in heard()

    cases: ClassVar[dict[str, Script]] = {
        "no ids": Script(
            turns=[
                Turn(calls=[ToolCall("charge", {"eur": 5}, "")]),
                Turn(calls=[ToolCall("mail", {"to": "a"}, "")]),
                DONE,
            ],
            tools=[charge, mail],
        )
    }

    def agent(self, script: Script) -> Any:
        return agent_of(script)

    async def test_a_tool_that_is_gone_cannot_be_continued(self, kept: dict[str, Any]) -> None:
        script = Script(turns=[PAY, DONE], tools=[pay], approve=["pay"])
        output = await of(agent_of(script), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        asked.confirm()
        script.tools = []
        with pytest.raises(ValueError, match="Tool 'pay' is not registered"):
            await of(agent_of(script), **kept).acontinue_run(run_id="r", step_requirements=[asked])

    async def test_the_users_agent_is_not_changed(self, stored: dict[str, Any]) -> None:
        agent = agent_of(ExecutorContract.cases["tool"])
        before = {name: repr(value) for name, value in vars(agent).items()}
        await of(agent, **stored).arun("refund")
        assert {name: repr(value) for name, value in vars(agent).items()} == before
        assert type(agent.model) is Scripted

    def test_what_is_no_agent_is_refused(self) -> None:
        node = AdkWorkflow(name="flow", edges=[("START", FunctionNode(func=lambda: "x", name="one"))])
        with pytest.raises(BuildError, match="a Workflow of Google ADK is no agent"):
            Workflow(steps=[Step("clerk", agent=node)])


class TestThroughAProvider(KillContract):
    """The same with the client of Gemini, which streams its own objects."""

    library = "google-adk"

    def agent(self, script: Script) -> Any:
        agent = agent_of(script)
        agent.model = Gemini(model="gemini-2.5-flash", base_url=served(script).removesuffix("/v1"))
        return agent
