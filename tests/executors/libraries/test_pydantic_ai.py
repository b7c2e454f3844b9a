"""pydantic-ai, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, CallDeferred, ModelRetry, UsageLimits
from pydantic_ai import RunContext as AgentContext
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from workflow_runtime import Parallel, Retry, RunContext, RunStatus, Step, StepInput, Workflow
from workflow_runtime.executors.pydantic_ai import Durability
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.chat_server import served
from workflow_runtime.testing.executor_kills import KillContract, Kills
from workflow_runtime.testing.executor_script import Verdict, charge, heard, log, logged


class TestPydanticAI(ExecutorContract):
    library = "pydantic-ai"
    usage_is_exact = False  # its test model estimates

    def agent(self, script: Script) -> Any:
        options: dict[str, Any] = {"output_type": Verdict()} if script.structured else {}
        model = FunctionModel(whole(script), stream_function=playing(script))
        agent = Agent(model, name=script.name, **options)
        for tool in script.tools:
            agent.tool_plain(requires_approval=tool.__name__ in script.approve)(tool)
        return agent


def whole(script: Script) -> Any:
    """The model where nothing is streamed."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = script.play(sum(isinstance(message, ModelResponse) for message in messages), messages)
        calls = [ToolCallPart(call.name, call.arguments, tool_call_id=call.id) for call in turn.calls]
        return ModelResponse(parts=[*calls, *([TextPart("".join(turn.text))] if turn.text else [])])

    return model


def playing(script: Script) -> Any:
    async def model(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        turn = script.play(sum(isinstance(message, ModelResponse) for message in messages), messages)
        for text in turn.text:
            yield text
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        if turn.structured is not None:
            yield {0: DeltaToolCall(info.output_tools[0].name, json.dumps(turn.structured), tool_call_id="out")}
        for number, call in enumerate(turn.calls):
            yield {number: DeltaToolCall(call.name, json.dumps(call.arguments), tool_call_id=call.id)}

    return model


CHARGE = Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")])
MAIL = Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")])
PAY = Turn(calls=[ToolCall("pay", {"eur": 9}, "c3")])
DONE = Turn(text=("all ", "is ", "done"))
agent_of = TestPydanticAI().agent


class TestInAFunction(Kills):
    """An agent that a function step runs itself, with ``Durability(run_context)``."""

    def agent(self, script: Script) -> Any:
        return agent_of(script)

    def workflow(self, script: Script, *, db: Any = None, **options: Any) -> Workflow:
        agent = self.agent(script)

        async def clerk(step_input: StepInput, run_context: RunContext) -> str:
            first = await agent.run("refund", capabilities=[Durability(run_context)])
            second = await agent.run("refund", capabilities=[Durability(run_context)])
            return f"{first.output}, {second.output}"

        return Workflow(name="w", steps=[clerk], db=db, durability="sync", lease=1.0, **options)

    async def test_a_killed_function_repeats_nothing_that_its_agents_recorded(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("two tools", url)
        assert logged() == ["model", "charge", "model", "mail"]
        done = await self.recovered("two tools", url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, all is done")
        again = ["model", "charge", "model", "mail", "model"]
        assert logged() == ["model", "charge", "model", "mail", "mail", "model", *again]


class TestOfTheLibrary(Kills):
    """What only this library has."""

    def agent(self, script: Script) -> Any:
        return agent_of(script)

    async def test_a_retry_of_the_step_repeats_only_the_tool_that_failed(self, kept: dict[str, Any]) -> None:
        script = Script(turns=[CHARGE, Turn(calls=[ToolCall("flaky", {}, "c9")]), DONE], tools=[charge])
        agent = agent_of(script)

        @agent.tool_plain
        async def flaky() -> str:
            log("flaky")
            if logged().count("flaky") == 1:
                raise ConnectionError("try again")
            return "fine"

        step = Step("clerk", agent=agent, retry=Retry(attempts=2, delay=0), durable=kept.get("durable"))
        output = await Workflow(name="w", steps=[step], db=kept["db"]).arun("refund")
        assert output.content == "all is done"
        again = ["model", "charge", "model", "flaky", "model"]
        if kept.get("durable") is False:
            assert logged() == ["model", "charge", "model", "flaky", *again]
        else:
            assert logged() == ["model", "charge", "model", "flaky", "flaky", "model"]

    async def test_a_retry_behind_a_bad_answer_asks_the_model_anew(self, kept: dict[str, Any]) -> None:
        bad = {"title": "fine", "score": "many"}
        script = Script(turns=[Turn(structured=bad), Turn(structured=bad)], structured=True)
        step = Step("clerk", agent=agent_of(script), retry=Retry(attempts=2, delay=0), durable=kept.get("durable"))
        with pytest.raises(UnexpectedModelBehavior):
            await Workflow(name="w", steps=[step], db=kept["db"]).arun("refund")
        assert logged() == ["model"] * 4

    async def test_a_person_may_change_the_arguments_of_a_tool(self, kept: dict[str, Any]) -> None:
        output = await self.paused("approval", kept)
        (asked,) = output.active_step_requirements
        answer = {"id": "c3", "confirmation": True, "user_input": {"eur": 3}}
        asked.answer({"executor_requirements": [answer]})
        done = await self.answered(output, kept, "approval")
        assert done.content == "all is done, closed"
        assert "paid 3" in heard()
        assert "paid 9" not in heard()

    @pytest.mark.parametrize("declined", [True, False])
    async def test_the_result_of_a_tool_that_runs_elsewhere_is_given(
        self, kept: dict[str, Any], declined: bool
    ) -> None:
        def make() -> Workflow:
            agent = agent_of(Script(turns=[Turn(calls=[ToolCall("ship", {"to": "Rome"}, "c9")]), DONE]))

            @agent.tool_plain
            async def ship(to: str) -> str:
                raise CallDeferred(metadata={"carrier": "mule"})

            return Workflow(name="w", steps=[Step("clerk", agent=agent)], db=kept["db"], evict_after=0.0)

        output = await make().arun("refund")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or []
        assert item["metadata"] == {"carrier": "mule"}
        answer = {"confirmation": False} if declined else {"external_execution_result": "shipped by mule"}
        asked.answer({"executor_requirements": [{"id": item["id"], **answer}]})
        done = await make().acontinue_run(run_id=output.run_id, step_requirements=[asked])
        assert done.content == "all is done"
        assert ("Declined" if declined else "shipped by mule") in heard()

    async def test_agents_in_branches_that_both_ask(self, kept: dict[str, Any]) -> None:
        def make() -> Workflow:
            steps = [Step(name, agent=agent_of(self.cases["approval"])) for name in ("a", "b")]
            return Workflow(name="w", steps=[Parallel(*steps, name="both")], db=kept["db"], evict_after=0.0)

        output = await make().arun("refund")
        assert len(output.active_step_requirements) == 2
        for asked in output.active_step_requirements:
            asked.confirm()
        questions = output.active_step_requirements
        done = await make().acontinue_run(run_id=output.run_id, step_requirements=questions)
        assert done.status is RunStatus.completed
        assert logged().count("pay") == logged().count("charge") == 2

    async def test_dependencies_and_limits_are_options_of_the_step(self, kept: dict[str, Any]) -> None:
        script = Script(turns=[Turn(calls=[ToolCall("owner", {}, "c9")]), DONE])
        agent = Agent(FunctionModel(stream_function=playing(script)), name="clerk", deps_type=str)

        @agent.tool
        async def owner(context: AgentContext[str]) -> str:
            return f"owned by {context.deps}"

        options = {"deps": "ada", "usage_limits": UsageLimits(request_limit=2)}
        step = Step("clerk", agent=agent, executor_options=options, durable=kept.get("durable"))
        assert (await Workflow(name="w", steps=[step], db=kept["db"]).arun("refund")).content == "all is done"
        assert "owned by ada" in heard()

    async def test_an_agent_that_validates_its_output(self, stored: dict[str, Any]) -> None:
        agent = agent_of(self.cases["plain"])

        @agent.output_validator
        def check(output: str) -> str:
            if not output:
                raise ModelRetry("say something")
            return output

        step = Step("clerk", agent=agent, durable=stored.get("durable"))
        assert (await Workflow(name="w", steps=[step], db=stored.get("db")).arun("refund")).content == "all is done"

    async def test_continued_without_its_tool_the_run_says_which_is_missing(self, kept: dict[str, Any]) -> None:
        output = await self.paused("approval", kept)
        output.active_step_requirements[0].confirm()
        without = Script(turns=self.cases["approval"].turns, tools=[charge])
        workflow = self.workflow(without, **kept)
        done = await workflow.acontinue_run(run_id="r", step_requirements=output.active_step_requirements)
        assert "pay" in heard().splitlines()[-1]
        assert "pay" not in logged()
        assert done.status is RunStatus.completed

    async def test_an_agent_that_records_itself_is_not_recorded_twice(
        self, kept: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        keys: list[str] = []

        async def elsewhere(key: str, function: Any) -> Any:
            keys.append(key)
            return await function()

        model = FunctionModel(whole(self.cases["plain"]), stream_function=playing(self.cases["plain"]))
        agent = Agent(model, name="clerk", capabilities=[Durability(elsewhere)])
        step = Step("clerk", agent=agent, durable=kept.get("durable"))
        assert (await Workflow(name="w", steps=[step], db=kept["db"]).arun("refund")).content == "all is done"
        assert len(keys) == 1
        warned = [record for record in caplog.records if "does not record them as well" in record.getMessage()]
        assert len(warned) == (0 if kept.get("durable") is False else 1)

    async def test_the_users_agent_is_not_changed(self, stored: dict[str, Any]) -> None:
        agent = agent_of(self.cases["tool"])
        before = {name: repr(value) for name, value in vars(agent).items()}
        await Workflow(name="w", steps=[Step("clerk", agent=agent)], db=stored.get("db")).arun("refund")
        assert {name: repr(value) for name, value in vars(agent).items()} == before


class TestThroughAProvider(KillContract):
    """The same with the client of a provider."""

    def agent(self, script: Script) -> Any:
        provider = OpenAIProvider(base_url=served(script), api_key="none")
        agent = Agent(OpenAIChatModel("gpt-5", provider=provider), name=script.name)
        for tool in script.tools:
            agent.tool_plain(requires_approval=tool.__name__ in script.approve)(tool)
        return agent
