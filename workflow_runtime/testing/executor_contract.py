"""What every adapter of an agent library has to do, as tests that the adapter's test module subclasses.

    class TestShopAgents(ExecutorContract):
        def agent(self, script):
            return shop_agents.Agent(script.name, model=Scripted(script), tools=...)

``agent`` makes an agent of the library whose model plays the script (``executor_script``): for each request it calls
``script.play(responses, conversation)`` and says what the turn has. It must work without a network: use the library's own
test model, or a model of a few lines. The tests run on asyncio, with SQLite files, and kill real processes.

A class attribute says what the library cannot do, and why; then the tests check that it is refused.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ..executors import ExecutorRun
from ..model.budget import Budget
from ..model.enums import RunStatus
from ..model.errors import StepTimeoutError
from ..model.media import File, Image
from ..steps.parallel import Parallel
from ..steps.step import Step
from ..workflow import Workflow
from .clock import FakeClock
from .executor_cases import until
from .executor_kills import KillContract
from .executor_script import PIXELS, Verdict, heard, logged

__all__ = ["ExecutorContract"]


class ExecutorContract(KillContract):
    """One test per promise of ``docs/agents.md``. Subclass it and say how to make an ``agent``."""

    # -- text ----------------------------------------------------------------------------------------------------------

    async def test_plain_text_is_the_content(self, stored: dict[str, Any]) -> None:
        output = await self.run("plain", stored)
        assert (output.status, output.content) == (RunStatus.completed, "all is done, closed")
        assert output.step_results[0].content == "all is done"
        assert output.step_results[0].executor_name == "clerk"
        (ran,) = output.step_executor_runs or [None]
        assert isinstance(ran, ExecutorRun)
        assert (ran.content, ran.status, ran.executor_name) == ("all is done", "COMPLETED", "clerk")
        assert ran.messages
        assert "refund" in heard()

    async def test_text_is_streamed_in_order_and_once(self, stored: dict[str, Any]) -> None:
        events = await self.events("plain", stored)
        names = [event.event for event in events]
        assert (names[:2], names[-2:]) == (["StepStarted", "RunStarted"], ["RunCompleted", "StepCompleted"])
        text = [event for event in events if event.event == "RunContent"]
        assert len(text) > 1
        assert "".join(event.content for event in text) == "all is done"
        for event in text:
            assert (event.executor_name, event.executor_type, event.step_name) == ("clerk", "agent", "clerk")
            assert event.executor_id
            assert event.executor_run_id

    async def test_a_structured_output_is_the_object_and_is_read_back_as_one(self, stored: dict[str, Any]) -> None:
        workflow = self.workflow(self.cases["structured"], **stored)
        output = await workflow.arun("refund", run_id="r", session_id="s")
        for read in (output, await workflow.aget_run_output("r")) if stored else (output,):
            assert read is not None
            content = read.step_results[0].content
            assert type(content) is Verdict()
            assert (content.title, content.score) == ("fine", 7)

    # -- tools ---------------------------------------------------------------------------------------------------------

    async def test_a_tool_is_called_and_its_result_reaches_the_model(self, stored: dict[str, Any]) -> None:
        output = await self.run("tool", stored)
        assert output.content == "all is done, closed"
        assert logged() == ["model", "charge", "model"]
        assert "charged 5" in heard()

    @pytest.mark.parametrize(("case", "ids"), [("tool", ["c1"]), ("parallel", ["c1", "c2"])])
    async def test_each_tool_call_has_a_start_and_an_end(
        self, stored: dict[str, Any], case: str, ids: list[str]
    ) -> None:
        events = await self.events(case, stored)
        started = [event for event in events if event.event == "ToolCallStarted"]
        ended = [event for event in events if event.event == "ToolCallCompleted"]
        assert [event.tool["tool_call_id"] for event in started] == self.call_ids(events, ids)
        assert sorted(event.tool["tool_call_id"] for event in ended) == self.call_ids(events, ids)
        assert (started[0].tool["tool_name"], started[0].tool["tool_args"]) == ("charge", {"eur": 5})
        (charged,) = (event.tool for event in ended if event.tool["tool_name"] == "charge")
        assert (charged["result"], charged["tool_args"]) == ("charged 5", {"eur": 5})
        order = [event.event for event in events if event.event.startswith(("Tool", "RunContent"))]
        assert order.index("ToolCallCompleted") > order.index("ToolCallStarted")
        assert order.index("RunContent") > max(i for i, name in enumerate(order) if name == "ToolCallCompleted")

    def call_ids(self, events: list[Any], ids: list[str]) -> list[str]:
        """The ids of the calls of ``ids``, for a library that makes its own: then those that it made."""
        return ids

    async def test_a_tool_reads_and_writes_the_session_state(self, stored: dict[str, Any]) -> None:
        workflow = self.workflow(self.cases["note"], session_state={"notes": ["new"]}, **stored)
        output = await workflow.arun("refund", session_id="s")
        assert output.content == "all is done, closed"
        assert output.session_state == {"notes": ["new", "vip"]}
        assert "noted, 2 in all" in heard()

    async def test_two_runs_of_one_agent_at_once_do_not_mix(self, stored: dict[str, Any]) -> None:
        agent = self.agent(self.cases["tool"])
        steps = Parallel(Step("a", agent=agent), Step("b", agent=agent), name="both")
        workflow = Workflow(name="w", steps=[steps], db=stored.get("db"))
        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(self._both_done, workflow, f"r{number}")
        assert sorted(logged()) == ["charge"] * 4 + ["model"] * 8

    async def _both_done(self, workflow: Workflow, run_id: str) -> None:
        output = await workflow.arun("refund", run_id=run_id)
        (both,) = output.step_results
        assert [step.content for step in both.steps or ()] == ["all is done", "all is done"]

    # -- usage and media -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("case", "requests"), [("plain", 1), ("tool", 2)])
    async def test_usage_is_counted_once(self, stored: dict[str, Any], case: str, requests: int) -> None:
        output = await self.run(case, stored)
        assert output.metrics is not None
        usage = output.metrics.steps["clerk"].metrics
        assert usage is not None
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        if self.usage_is_exact:
            assert (usage.input_tokens, usage.output_tokens) == (7 * requests, 3 * requests)
        else:
            assert usage.input_tokens
            assert usage.output_tokens
        assert usage.duration
        assert case == "tool" or usage.time_to_first_token

    async def test_images_and_files_reach_the_model(self, stored: dict[str, Any]) -> None:
        workflow = self.workflow(self.cases["plain"], **stored)
        output = await workflow.arun(
            "refund",
            images=[Image(content=PIXELS, mime_type="image/png"), Image(url="https://shop.test/cart.png")],
            files=[File(content=PIXELS, mime_type="application/pdf", filename="cart.pdf")],
        )
        assert output.content == "all is done, closed"
        assert "https://shop.test/cart.png" in heard()
        assert sum(heard().count(form) for form in ("pixels of an image", "cGl4ZWxzIG9mIGFuIGltYWdl")) >= 2

    # -- errors and cancelling -------------------------------------------------------------------------------------------

    async def test_what_the_model_raises_fails_the_step(self, stored: dict[str, Any]) -> None:
        with pytest.raises(Exception, match="model down"):
            await self.run("model error", stored)

    async def test_what_a_tool_raises(self, stored: dict[str, Any]) -> None:
        if self.raises_tool_errors:
            with pytest.raises(Exception, match="the bank is closed"):
                await self.run("tool error", stored)
        else:
            output = await self.run("tool error", stored)
            assert output.content == "all is done, closed"

    @pytest.mark.parametrize(("case", "last"), [("hanging tool", "cleaned-up"), ("hanging model", "model")])
    async def test_a_cancel_ends_all_that_the_agent_does(self, stored: dict[str, Any], case: str, last: str) -> None:
        workflow = self.workflow(self.cases[case], **stored)
        with anyio.fail_after(60):
            stream = workflow.arun("refund", run_id="r", stream=True, stream_events=True)
            reached = "RunContent" if last == "model" else "ToolCallStarted"
            async for event in stream:
                if event.event == reached:
                    if last == "cleaned-up":
                        await until(lambda: "wait" in logged())
                    await workflow.acancel_run("r")
            output = await stream.result()
        assert output.status is RunStatus.cancelled
        assert logged()[-1] == last

    async def test_leaving_the_stream_ends_all_that_the_agent_does(self, stored: dict[str, Any]) -> None:
        workflow = self.workflow(self.cases["hanging tool"], **stored)
        with anyio.fail_after(60):
            async for event in workflow.arun("refund", stream=True, stream_events=True):
                if event.event == "ToolCallStarted":
                    await until(lambda: "wait" in logged())
                    break
            await until(lambda: logged()[-1] == "cleaned-up")

    async def test_a_timeout_of_the_step_ends_all_that_the_agent_does(self, stored: dict[str, Any]) -> None:
        clock = FakeClock()
        agent = self.agent(self.cases["hanging tool"])
        step = Step("clerk", agent=agent, timeout=60.0, durable=stored.get("durable"))
        workflow = Workflow(name="w", steps=[step], db=stored.get("db"), clock=clock)

        async def pass_time() -> None:
            await until(lambda: "wait" in logged())
            clock.advance(60)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_time)
            with anyio.fail_after(60):
                try:
                    await workflow.arun("refund")
                except StepTimeoutError:
                    assert logged()[-1] == "cleaned-up"
                else:
                    raise AssertionError("the step had no end")

    @pytest.mark.parametrize("amount", ["requests", "tokens"])
    async def test_a_budget_is_checked_before_each_request(self, kept: dict[str, Any], amount: str) -> None:
        budget = Budget(requests=1) if amount == "requests" else Budget(tokens=10 if self.usage_is_exact else 1)
        step = Step("clerk", agent=self.agent(self.cases["tool"]), durable=kept.get("durable"), budget=budget)
        workflow = Workflow(name="w", steps=[step], db=kept["db"])
        with anyio.fail_after(60):
            output = await workflow.arun("refund", run_id="r")
            if not self.counts_requests:
                assert output.content == "all is done"
                return
            assert output.status is RunStatus.paused
            assert logged() == ["model", "charge"]
            (asked,) = output.active_step_requirements
            assert asked.kind == "budget"
            asked.answer({"user_input": {amount: 1_000}})
            done = await workflow.acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "all is done")
        assert logged() == ["model", "charge", "model"]

    # -- people ----------------------------------------------------------------------------------------------------------

    async def test_a_tool_that_needs_a_yes_pauses_the_run(self, kept: dict[str, Any]) -> None:
        if not self.approves:
            self.refuses_approvals()
            return
        output = await self.paused("approval", kept)
        (asked,) = output.steps_requiring_executor_resolution
        (item,) = asked.executor_requirements or [{}]
        tool = item["tool_execution"]
        assert (tool["tool_name"], tool["tool_args"]) == ("pay", {"eur": 9})
        assert logged() == ["model", "charge", "model"]
        output.active_step_requirements[0].confirm()
        done = await self.answered(output, kept, "approval")
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "charge", "model", "pay", "model"]
        assert "paid 9" in heard()
        usage = done.metrics.steps["clerk"].metrics if done.metrics is not None else None
        assert usage is not None
        assert not self.usage_is_exact or (usage.input_tokens, usage.output_tokens) == (21, 9)

    async def test_a_no_and_its_reason_reach_the_model(self, kept: dict[str, Any]) -> None:
        if not self.approves:
            self.refuses_approvals()
            return
        output = await self.paused("approval", kept)
        output.active_step_requirements[0].reject("too dear")
        done = await self.answered(output, kept, "approval")
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "charge", "model", "model"]
        assert "too dear" in heard()

    async def test_two_questions_at_once_and_a_third_behind_them(self, kept: dict[str, Any]) -> None:
        if not self.approves:
            self.refuses_approvals()
            return
        output = await self.paused("two approvals", kept)
        (asked,) = output.active_step_requirements
        assert len(asked.executor_requirements or ()) == 2
        asked.confirm()
        output = await self.answered(output, kept, "two approvals")
        assert output.status is RunStatus.paused
        (asked,) = output.active_step_requirements
        asked.confirm()
        done = await self.answered(output, kept, "two approvals")
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "pay", "pay", "model", "pay", "model"]

    async def test_the_events_of_a_continued_agent_follow_those_before(self, kept: dict[str, Any]) -> None:
        if not self.approves:
            self.refuses_approvals()
            return
        output = await self.paused("approval", kept)
        output.active_step_requirements[0].confirm()
        done = await self.answered(output, kept, "approval")
        names = [event.event for event in done.events or () if event.path == "0.clerk"]
        assert names.count("StepStarted") == names.count("RunStarted") == names.count("RunPaused") == 1
        tools = [event.event for event in done.events or () if event.event.startswith("ToolCall")]
        assert tools.count("ToolCallStarted") == tools.count("ToolCallCompleted") == 2
        assert names.count("StepExecutorPaused") == names.count("StepExecutorContinued") == 1
        assert names.index("RunContinued") > names.index("StepExecutorContinued")
        behind = names[names.index("RunContinued") :]
        assert behind.count("ToolCallCompleted") == 1
        assert behind[-2:] == ["RunCompleted", "StepCompleted"]

    @pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "same process"])
    async def test_a_tool_may_ask_a_person_itself(self, kept: dict[str, Any], elsewhere: bool) -> None:
        case = "questions"
        made = self.workflow(self.cases[case], evict_after=0.0 if elsewhere else 300.0, **kept)
        with anyio.fail_after(60):
            output = await made.arun("refund", run_id="r", session_id="s")
            for value in (2, 3):
                assert output.status is RunStatus.paused
                (question,) = output.active_step_requirements
                question.answer({"user_input": {"value": value}})
                if elsewhere:
                    made = self.workflow(self.cases[case], **kept)
                output = await made.acontinue_run(run_id="r", step_requirements=[question])
        assert (output.status, output.content) == (RunStatus.completed, "all is done, closed")
        assert "seats? 2" in heard()
        assert "rooms? 3" in heard()
        if not elsewhere:
            assert logged() == ["model", "ask", "model", "ask", "model"]
        elif self.durable and kept == {"db": kept["db"]} and isinstance(kept["db"], str):
            assert logged() == ["model", "ask", "ask", "model", "ask", "ask", "model"]
