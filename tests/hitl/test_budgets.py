"""Budgets: what agents may use, by step, container, run and session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import (
    Budget,
    BudgetExceeded,
    BuildError,
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunStatus,
    Step,
    Steps,
    Workflow,
)
from workflow_runtime.executors import Adapter, Call, ExecutorOutput, registry
from workflow_runtime.model.metrics import RunMetrics
from workflow_runtime.testing import FakeClock, Reply, ScriptedAgent


def agent(name: str, tokens: int, cost: float | None = None) -> ScriptedAgent:
    return ScriptedAgent(name, Reply(content=name, metrics=RunMetrics(input_tokens=tokens, cost=cost)))


class ShopAdapter(Adapter):
    """Makes three requests of ten tokens each."""

    library = "shop"
    event_loops = ("asyncio", "trio")
    durable = True

    async def run(self, call: Call) -> AsyncIterator[Any]:
        assert call.once is not None
        made: list[int] = call.agent.made
        for number in range(3):

            def ask(number: int = number) -> dict[str, int]:
                made.append(number)
                return {"tokens": 10}

            await call.once(f"model#{number}", ask, usage=lambda found: RunMetrics(input_tokens=found["tokens"]))
        yield ExecutorOutput(content="sold", metrics=RunMetrics(input_tokens=30))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(registry, "_ADAPTERS", dict(registry._ADAPTERS))
    registry.register("shop_agents.Agent", ShopAdapter)
    found = type("Agent", (), {"__module__": "shop_agents"})()
    found.made, found.name = [], "seller"
    yield found
    registry._made.pop("shop_agents.Agent", None)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["await", "stream", "background"])
async def test_a_run_pauses_before_the_step_that_its_budget_does_not_allow(mode: str) -> None:
    agents = [agent("a", 60), agent("b", 60), agent("c", 60)]
    workflow = Workflow(name="w", steps=agents, db=InMemoryDb(), budget=Budget(tokens=100))
    if mode == "stream":
        stream = workflow.arun("in", run_id="r", stream=True)
        async for _ in stream:
            pass
        output = await stream.result()
    elif mode == "background":
        await workflow.arun("in", run_id="r", background=True)
        async for event in workflow.subscribe("r"):
            if event.event == "WorkflowPaused":
                break
        output = await workflow.aget_run_output("r")
        assert output is not None
    else:
        output = await workflow.arun("in", run_id="r")
    assert output.status is RunStatus.paused
    (asked,) = output.active_step_requirements
    assert asked.kind == "budget"
    assert asked.user_input_message == "the run has used 120 of 100 tokens. How much more may it use?"
    assert [len(item.calls) for item in agents] == [1, 1, 0]
    asked.answer({"user_input": {"tokens": 50}})
    done = await workflow.acontinue_run(run_id="r", step_requirements=[asked])
    assert (done.status, done.content) == (RunStatus.completed, "c")
    assert [len(item.calls) for item in agents] == [1, 1, 1]


@pytest.mark.anyio
async def test_the_answer_may_leave_the_amount_to_the_budget_or_end_the_run(tmp_path: Path) -> None:
    def workflow() -> Workflow:
        agents = [agent("a", 60), agent("b", 60)]
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        return Workflow(name="w", steps=agents, db=url, budget=Budget(tokens=50), evict_after=0.0)

    for run_id, yes in (("r1", True), ("r2", False)):
        output = await workflow().arun("in", run_id=run_id)
        (asked,) = output.active_step_requirements
        asked.answer({"user_input": {}} if yes else {"confirmed": False, "rejection_feedback": "too dear"})
        if yes:
            done = await workflow().acontinue_run(run_id=run_id, step_requirements=[asked])
            assert done.content == "b"
        else:
            with pytest.raises(
                BudgetExceeded, match="the run has used 60 of 50 tokens, and was not given more: too dear"
            ):
                await workflow().acontinue_run(run_id=run_id, step_requirements=[asked])


@pytest.mark.anyio
async def test_a_budget_that_was_not_raised_enough_asks_again() -> None:
    workflow = Workflow(name="w", steps=[agent("a", 60), agent("b", 1)], db=InMemoryDb(), budget=Budget(tokens=50))
    output = await workflow.arun("in", run_id="r")
    for more in (5, 6):
        (asked,) = output.active_step_requirements
        asked.answer({"user_input": {"tokens": more}})
        output = await workflow.acontinue_run(run_id="r", step_requirements=[asked])
    assert output.content == "b"


@pytest.mark.anyio
async def test_a_budget_that_does_not_ask_fails_the_step_without_a_retry() -> None:
    second = Step("b", agent=agent("b", 60), retry=Retry(attempts=5, delay=0))
    workflow = Workflow(name="w", steps=[agent("a", 60), second], budget=Budget(cost=None, tokens=60, exceeded="fail"))
    with pytest.raises(BudgetExceeded, match=r"the run has used 60 of 60 tokens; step '1\.b' does not begin") as raised:
        await workflow.arun("in")
    assert (raised.value.path, raised.value.budget) == ("1.b", Budget(tokens=60, exceeded="fail"))
    skipping = Step("b", agent=agent("b", 60), on_error="skip")
    output = await Workflow(steps=[agent("a", 60), skipping], budget=Budget(tokens=60, exceeded="fail")).arun("in")
    assert (output.status, output.step_results[1].success) == (RunStatus.completed, False)


CONTAINERS = {
    "Steps": lambda steps, budget: Steps("c", steps=steps, budget=budget),
    "Loop": lambda steps, budget: Loop(steps[0], name="c", max_iterations=2, budget=budget),
    "Condition": lambda steps, budget: Condition(steps, name="c", budget=budget),
    "Router": lambda steps, budget: Router([Steps("s", steps=steps)], selector=lambda: "s", name="c", budget=budget),
    "Parallel": lambda steps, budget: Parallel(*steps, name="c", max_concurrency=1, budget=budget),
    "Map": lambda steps, budget: Map(steps[0], over=lambda: [1, 2], name="c", max_concurrency=1, budget=budget),
    "Workflow": lambda steps, budget: Step("c", workflow=Workflow(name="inner", steps=steps, budget=budget)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CONTAINERS)
async def test_a_container_has_a_budget_for_all_that_is_in_it(kind: str) -> None:
    steps = [agent("a", 60), agent("b", 60)]
    inner = CONTAINERS[kind](steps, Budget(tokens=50, exceeded="fail"))
    with pytest.raises(BudgetExceeded, match="has used 60 of 50 tokens"):
        await Workflow(name="w", steps=[agent("before", 1000), inner]).arun("in")
    enough = CONTAINERS[kind](steps, Budget(tokens=61))
    assert (await Workflow(name="w", steps=[agent("before", 1000), enough]).arun("in")).status is RunStatus.completed


@pytest.mark.anyio
async def test_a_session_has_a_budget_over_its_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    workflow = Workflow(name="w", steps=[agent("a", 10, 0.3)], db=url, session_budget=Budget(cost=0.5))
    for _ in range(2):
        assert (await workflow.arun("in", session_id="s")).content == "a"
    output = await workflow.arun("in", session_id="s")
    (asked,) = output.active_step_requirements
    assert asked.user_input_message == "the session has used 0.6 of 0.5 cost. How much more may it use?"
    assert (await workflow.arun("in", session_id="another")).content == "a"


@pytest.mark.anyio
async def test_seconds_are_those_of_work_not_those_of_a_person() -> None:
    clock = FakeClock()

    async def work(step_input: Any) -> str:
        clock.advance(5)
        return "worked"

    async def asking(step_input: Any, run_context: Any) -> str:
        return str(await run_context.ask("go on?", bool))

    steps = [Step("a", executor=work), Step("b", executor=asking), Step("c", executor=work), Step("d", executor=work)]
    workflow = Workflow(name="w", steps=steps, db=InMemoryDb(), clock=clock, budget=Budget(seconds=10))
    output = await workflow.arun("in", run_id="r")
    clock.advance(1000)
    (asked,) = output.active_step_requirements
    asked.answer({"user_input": {"value": True}})
    output = await workflow.acontinue_run(run_id="r", step_requirements=[asked])
    (asked,) = output.active_step_requirements
    assert (asked.step_name, asked.user_input_message) == (
        "d", "the run has used 10 of 10 seconds. How much more may it use?",
    )  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("evict_after", [0.0, 300.0])
@pytest.mark.parametrize("kind", ["requests", "tokens"])
async def test_each_request_of_an_agent_is_checked(shop: Any, tmp_path: Path, kind: str, evict_after: float) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    budget = Budget(requests=2) if kind == "requests" else Budget(tokens=20)

    def workflow() -> Workflow:
        step = Step("sell", agent=shop, budget=budget)
        return Workflow(name="w", steps=[step, lambda: "end"], db=url, evict_after=evict_after)

    first = workflow()
    output = await first.arun("in", run_id="r")
    (asked,) = output.active_step_requirements
    used = "2 of 2 requests" if kind == "requests" else "20 of 20 tokens"
    assert asked.user_input_message == f"'0.sell' has used {used}. How much more may it use?"
    assert shop.made == [0, 1]
    asked.answer({"user_input": {}})
    continued = first if evict_after else workflow()
    done = await continued.acontinue_run(run_id="r", step_requirements=[asked])
    assert (done.status, done.content) == (RunStatus.completed, "end")
    assert shop.made == [0, 1, 2]
    assert done.step_results[0].metrics is not None
    assert (done.step_results[0].metrics.additional_metrics or {})["requests"] == 3


@pytest.mark.anyio
async def test_requests_are_checked_without_a_database(shop: Any) -> None:
    steps = [Step("one", agent=shop), Step("two", agent=shop)]
    with pytest.raises(BudgetExceeded, match="the run has used 4 of 4 requests"):
        await Workflow(steps=steps, budget=Budget(requests=4, exceeded="fail")).arun("in")
    assert shop.made == [0, 1, 2, 0]


@pytest.mark.anyio
async def test_what_was_used_before_a_process_ended_counts(shop: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    def workflow() -> Workflow:
        def confirmed(step_input: Any) -> str:
            return "yes"

        steps = [
            Step("one", agent=shop),
            Step("ok", executor=confirmed, requires_confirmation=True),
            Step("two", agent=shop),
        ]
        return Workflow(name="w", steps=steps, db=url, budget=Budget(requests=3), evict_after=0.0)

    output = await workflow().arun("in", run_id="r")
    (asked,) = output.active_step_requirements
    asked.answer({"user_input": {}} if asked.kind == "budget" else {"confirmed": True})
    output = await workflow().acontinue_run(run_id="r", step_requirements=[asked])
    (asked,) = output.active_step_requirements
    assert asked.user_input_message == "the run has used 3 of 3 requests. How much more may it use?"
    assert shop.made == [0, 1, 2]


def test_a_budget_is_checked_when_it_is_written() -> None:
    with pytest.raises(BuildError, match=r"write for example Budget\(tokens="):
        Budget()
    for given in ({"tokens": 0}, {"tokens": 1.5}, {"cost": 0}, {"seconds": -1}, {"tokens": 1, "exceeded": "stop"}):
        with pytest.raises(BuildError, match="Budget: "):
            Budget(**given)
    with pytest.raises(BuildError, match=r"budget=5 must be a Budget; write budget=Budget\(tokens="):
        Step("a", executor=len, budget=5)  # type: ignore[arg-type]
    with pytest.raises(BuildError, match="session_budget limits tokens and cost"):
        Workflow(steps=[len], session_budget=Budget(requests=5))


def test_a_budget_is_part_of_a_workflow_as_data() -> None:
    budget = Budget(tokens=100, exceeded="fail")
    steps = Steps("c", steps=[Step("a", executor=len, budget=Budget(cost=1.5))], budget=budget)
    workflow = Workflow(name="w", steps=[steps], budget=Budget(seconds=5), session_budget=budget)
    data = workflow.to_dict()
    rebuilt = Workflow.from_dict(data, registry={"builtins:len": len})
    assert rebuilt.to_dict() == data
    assert (rebuilt.budget, rebuilt.session_budget, rebuilt.steps[0].budget) == (Budget(seconds=5), budget, budget)
    assert rebuilt.steps[0].steps[0].budget == Budget(cost=1.5)
