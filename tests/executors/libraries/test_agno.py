"""agno, the real library, 2.9 and 3.x: run by ``test_libraries.py`` in environments that have them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.metrics import MessageMetrics
from agno.models.base import Model
from agno.models.openai import OpenAIChat
from agno.models.response import ModelResponse
from agno.team import Team
from agno.tools import tool

from workflow_runtime import RunStatus, Step, Workflow
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.chat_server import served
from workflow_runtime.testing.executor_kills import KillContract, Kills
from workflow_runtime.testing.executor_script import Verdict, charge, fail, heard, log, logged, mail, pay


@dataclass
class Scripted(Model):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    id: str = "scripted"
    name: str = "scripted"
    provider: str = "scripted"
    script: Script = field(default_factory=lambda: Script(turns=[]))

    def _turn(self, messages: list[Any]) -> Turn:
        given = [(message.role, message.content, message.images, message.files) for message in messages]
        return self.script.play(sum(message.role == "assistant" for message in messages), given)

    def _end(self, turn: Turn) -> ModelResponse:
        usage = MessageMetrics(
            input_tokens=turn.input_tokens,
            output_tokens=turn.output_tokens,
            total_tokens=turn.input_tokens + turn.output_tokens,
        )
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in turn.calls
        ]
        content = json.dumps(turn.structured) if turn.structured is not None else None
        return ModelResponse(role="assistant", content=content, tool_calls=calls, response_usage=usage)

    async def ainvoke_stream(self, messages: list[Any], **_: Any) -> AsyncIterator[ModelResponse]:
        turn = self._turn(messages)
        for text in turn.text:
            yield ModelResponse(role="assistant", content=text)
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        yield self._end(turn)

    async def ainvoke(self, messages: list[Any], **_: Any) -> ModelResponse:
        turn = self._turn(messages)
        if turn.error is not None:
            raise turn.error
        response = self._end(turn)
        response.content = response.content or "".join(turn.text) or None
        return response

    def invoke(self, *_: Any, **__: Any) -> ModelResponse:
        raise NotImplementedError

    def invoke_stream(self, *_: Any, **__: Any) -> Iterator[ModelResponse]:
        raise NotImplementedError

    def _parse_provider_response(self, response: Any, **_: Any) -> Any:
        return response

    def _parse_provider_response_delta(self, response: Any) -> Any:
        return response


def tools(script: Script) -> list[Any]:
    return [
        tool(requires_confirmation=True)(function) if function.__name__ in script.approve else function
        for function in script.tools
    ]


class TestAgno(ExecutorContract):
    library = "agno"
    raises_tool_errors = False

    def agent(self, script: Script) -> Any:
        return Agent(
            name=script.name,
            model=Scripted(script=script),
            tools=tools(script),
            output_schema=Verdict() if script.structured else None,
            telemetry=False,
        )


def delegate(*member_ids: str) -> list[ToolCall]:
    return [
        ToolCall("delegate_task_to_member", {"member_id": name, "task": "refund"}, f"d-{name}") for name in member_ids
    ]


class TestAgnoTeam(Kills):
    """A team of one member, which does the work."""

    library = "agno"

    cases: ClassVar[dict[str, Script]] = {
        "team": Script(
            turns=[
                Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")]),
                Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")]),
                Turn(text=("member ", "says")),
            ],
            tools=[charge, mail],
        ),
        "approval": Script(
            turns=[Turn(calls=[ToolCall("pay", {"eur": 9}, "c1")]), Turn(text=("member ", "says"))],
            tools=[pay],
            approve=["pay"],
        ),
    }
    leader = Script(name="crew", turns=[Turn(calls=delegate("clerk")), Turn(text=("all ", "is ", "done"))])

    def agent(self, script: Script) -> Any:
        member = TestAgno().agent(script)
        return Team(name="crew", members=[member], model=Scripted(script=self.leader), telemetry=False)

    def workflow(self, script: Script, *, durable: bool | None = None, db: Any = None, **options: Any) -> Workflow:
        step = Step("crew", team=self.agent(script), durable=durable)
        return Workflow(
            name="w", steps=[step], db=db, durability="sync", lease=1.0, store_events=True, evict_after=0.0, **options
        )

    async def test_a_team_and_its_members_are_told_apart(self, stored: dict[str, Any]) -> None:
        stream = self.workflow(self.cases["team"], **stored).arun("refund", stream=True, stream_events=True)
        events = [event async for event in stream]
        output = await stream.result()
        assert output.content == "all is done"
        assert output.step_results[0].executor_type == "team"
        text = [(event.event, event.executor_name) for event in events if event.event.endswith("RunContent")]
        assert text == [("RunContent", "clerk")] * 2 + [("TeamRunContent", "crew")] * 3
        names = [event.event for event in events]
        assert names.index("TeamToolCallStarted") < names.index("RunStarted") < names.index("RunCompleted")
        assert names.index("RunCompleted") < names.index("TeamToolCallCompleted") < names.index("TeamRunCompleted")
        assert logged() == ["model", "model", "charge", "model", "mail", "model", "model"]

    @pytest.mark.parametrize(("yes", "calls"), [(True, ["pay"]), (False, [])])
    async def test_what_a_members_tool_waits_for_is_answered_from_another_process(
        self, kept: dict[str, Any], yes: bool, calls: list[str]
    ) -> None:
        output = await self.workflow(self.cases["approval"], **kept).arun("refund", run_id="r")
        assert output.status is RunStatus.paused
        (asked,) = output.active_step_requirements
        asked.confirm() if yes else asked.reject("too dear")
        done = await self.answered(output, kept, "approval")
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert [call for call in logged() if call != "model"] == calls
        assert yes or "too dear" in heard()

    async def test_a_killed_team_repeats_nothing_that_was_recorded(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("team", url)
        assert logged() == ["model", "model", "charge", "model", "mail"]
        done = await self.recovered("team", url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == ["model", "model", "charge", "model", "mail", "mail", "model", "model"]
        text = [(event.event, event.content) for event in done.events or () if event.event.endswith("RunContent")]
        assert text == [("RunContent", "member "), ("RunContent", "says")] + [
            ("TeamRunContent", part) for part in ("all ", "is ", "done")
        ]


class TestOfTheLibrary(Kills):
    """What only this library has."""

    library = "agno"

    def agent(self, script: Script) -> Any:
        return TestAgno().agent(script)

    def asking(self, function: Any, kept: dict[str, Any], arguments: dict[str, Any]) -> Workflow:
        turns = [Turn(calls=[ToolCall(function.name, arguments, "c9")]), Turn(text=("all ", "is ", "done"))]
        agent = self.agent(Script(turns=turns))
        agent.tools = [function]
        step = Step("clerk", agent=agent, durable=kept.get("durable"))
        return Workflow(name="w", steps=[step], db=kept["db"], evict_after=0.0)

    async def test_the_values_that_a_tool_waits_for_are_given(self, kept: dict[str, Any]) -> None:
        @tool(requires_user_input=True, user_input_fields=["to"])
        def ship(weight: int, to: str) -> str:
            """Ship."""
            log("ship")
            return f"shipped {weight} to {to}"

        output = await self.asking(ship, kept, {"weight": 3}).arun("refund")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or []
        asked.answer({"executor_requirements": [{"id": item["id"], "user_input": {"weight": 3, "to": "Rome"}}]})
        workflow = self.asking(ship, kept, {"weight": 3})
        done = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[asked])
        assert (done.content, logged().count("ship")) == ("all is done", 1)
        assert "shipped 3 to Rome" in heard()

    async def test_the_result_of_a_tool_that_runs_elsewhere_is_given(self, kept: dict[str, Any]) -> None:
        @tool(external_execution=True)
        def ship(to: str) -> str:
            """Ship."""
            raise AssertionError("it runs elsewhere")

        output = await self.asking(ship, kept, {"to": "Rome"}).arun("refund")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or []
        answer = {"id": item["id"], "external_execution_result": "shipped by mule"}
        asked.answer({"executor_requirements": [answer]})
        workflow = self.asking(ship, kept, {"to": "Rome"})
        done = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[asked])
        assert done.content == "all is done"
        assert "shipped by mule" in heard()

    async def test_its_own_session_state_is_the_runs(self, stored: dict[str, Any]) -> None:
        def count(run_context: Any) -> str:
            """Count."""
            state = run_context.session_state
            state["count"] = state["count"] + 1
            state["names"].append("ada")
            return f"counted {state['count']}"

        calls = [Turn(calls=[ToolCall("count", {}, f"c{number}")]) for number in range(2)]
        agent = self.agent(Script(turns=[*calls, Turn(text=("all ", "is ", "done"))]))
        agent.tools = [count]
        step = Step("clerk", agent=agent, durable=stored.get("durable"))
        workflow = Workflow(name="w", steps=[step], db=stored.get("db"), session_state={"count": 1, "names": []})
        output = await workflow.arun("refund", session_id="s")
        assert output.session_state == {"count": 3, "names": ["ada", "ada"]}
        assert "counted 3" in heard()

    async def test_synchronous_tools_run_in_a_thread(self, stored: dict[str, Any]) -> None:
        threads: list[bool] = []

        def look() -> str:
            """Look."""
            threads.append(threading.current_thread() is threading.main_thread())
            return "seen"

        agent = self.agent(Script(turns=[Turn(calls=[ToolCall("look", {}, "c9")]), Turn(text=("all ", "is ", "done"))]))
        agent.tools = [look]
        step = Step("clerk", agent=agent, durable=stored.get("durable"))
        output = await Workflow(name="w", steps=[step], db=stored.get("db")).arun("refund")
        assert (output.content, threads) == ("all is done", [False])

    async def test_the_history_of_its_own_database_is_kept(self, stored: dict[str, Any], tmp_path: Path) -> None:
        script = Script(turns=[Turn(text=("first",)), Turn(text=("second",))])
        agent = self.agent(script)
        agent.db, agent.add_history_to_context = SqliteDb(db_file=str(tmp_path / "agno.db")), True
        step = Step("clerk", agent=agent, durable=stored.get("durable"))
        workflow = Workflow(name="w", steps=[step], db=stored.get("db"))
        contents = [(await workflow.arun(f"question {number}", session_id="s")).content for number in range(2)]
        assert contents == ["first", "second"]
        assert "question 0" in heard().splitlines()[-1]

    @pytest.mark.parametrize("way", ["returns", "awaits", "yields"])
    async def test_a_function_of_the_compatibility_layer_may_run_an_agent(self, way: str) -> None:
        from workflow_runtime.compat.agno.workflow import Step as CompatStep
        from workflow_runtime.compat.agno.workflow import Workflow as CompatWorkflow

        agent = self.agent(self.cases["plain"])

        async def awaits(step_input: Any) -> Any:
            return await agent.arun(step_input.input)

        def returns(step_input: Any) -> Any:
            return agent.arun(step_input.input)

        async def yields(step_input: Any) -> Any:
            async for item in agent.arun(step_input.input, stream=True, stream_events=True):
                yield item

        function = {"returns": returns, "awaits": awaits, "yields": yields}[way]
        workflow = CompatWorkflow(name="w", steps=[CompatStep(name="s", executor=function)])
        assert (await workflow.arun("refund")).content == "all is done"

    async def test_a_function_step_may_yield_the_events_of_an_agent(
        self, stored: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        agent = self.agent(self.cases["tool"])

        async def function(step_input: Any) -> Any:
            async for item in agent.arun(step_input.input, stream=True, stream_events=True):
                yield item

        workflow = Workflow(name="w", steps=[function], db=stored.get("db"), store_events=True)
        output = await workflow.arun("refund")
        assert output.content == "all is done"
        assert [event.event for event in output.events or ()].count("ToolCallCompleted") == 1
        assert "left out" not in caplog.text

    async def test_the_users_agent_is_not_changed(self, stored: dict[str, Any]) -> None:
        agent = self.agent(self.cases["tool"])
        await Workflow(name="w", steps=[Step("clerk", agent=agent)]).arun("refund")  # agno sets its own defaults
        before = {name: repr(value) for name, value in vars(agent).items()}
        await Workflow(name="w", steps=[Step("clerk", agent=agent)], db=stored.get("db")).arun("refund")
        assert {name: repr(value) for name, value in vars(agent).items()} == before

    async def test_a_failed_tool_is_not_called_again_by_a_recovery(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("fail, then mail", url)
        assert logged() == ["model", "fail", "model", "mail"]
        done = await self.recovered("fail, then mail", url)
        assert done.content == "all is done, closed"
        assert logged() == ["model", "fail", "model", "mail", "mail", "model"]

    cases: ClassVar[dict[str, Script]] = {
        **ExecutorContract.cases,
        "fail, then mail": Script(
            turns=[
                Turn(calls=[ToolCall("fail", {}, "c1")]),
                Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")]),
                Turn(text=("all ", "is ", "done")),
            ],
            tools=[fail, mail],
        ),
    }


class TestThroughAProvider(KillContract):
    """The same with the client of a provider, whose own objects the responses are made of."""

    library = "agno"

    def agent(self, script: Script) -> Any:
        agent = TestAgno().agent(script)
        agent.model = OpenAIChat("gpt-5", api_key="none", base_url=served(script))
        return agent
