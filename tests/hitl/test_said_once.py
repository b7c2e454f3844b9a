"""A step that asks in its middle is entered again in another process; what it said before the question is in the log once,
and its content is whole. (D7)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.from_thread
import pytest
from verbs import expanded, listen, of_kind

from workflow_runtime import BaseDb, Retry, RunContext, Step, Workflow, WorkflowRunOutput
from workflow_runtime.testing import Reply, ScriptedAgent, answers

pytestmark = pytest.mark.anyio


async def talk(run_context: RunContext) -> AsyncIterator[str]:
    yield "one "
    run_context.emit(note="before")
    first = await run_context.ask("first?", int)
    yield f"{first} "
    await run_context.once("drawn", lambda: 1)
    run_context.progress(1, 2)
    second = await run_context.ask("second?", int)
    yield f"{second}"


def talk_in_a_thread(run_context: RunContext) -> Iterator[str]:
    async def ask(question: str) -> Any:
        return await run_context.ask(question, int)

    yield "one "
    run_context.emit(note="before")
    first = anyio.from_thread.run(ask, "first?")
    yield f"{first} "
    run_context.progress(1, 2)
    yield f"{anyio.from_thread.run(ask, 'second?')}"


class AgentThatAsks(ScriptedAgent):
    """It asks by the run's own means while it streams."""

    def __init__(self) -> None:
        super().__init__("agent")
        self.arun = self.talk

    async def talk(self, input: Any, run_context: RunContext, **given: Any) -> AsyncIterator[Any]:
        async for chunk in talk(run_context):
            yield chunk


ALL = ["one ", "before", "1 ", "StepProgress", "2"]


def told(events: Any) -> list[Any]:
    kinds = ("StepContent", "CustomEvent", "StepProgress")
    return [
        getattr(event, "delta", None) or getattr(event, "note", None) or event.event
        for event in of_kind(expanded(events or ()), *kinds)
    ]


def build(db: BaseDb, step: Step, **options: Any) -> Workflow:
    """Each run that pauses is let go at once, so that another workflow object stands for another process."""
    return Workflow(name="w", steps=[step], db=db, store_events=True, **{"evict_after": 0.0, **options})


async def reply(workflow: Workflow, output: WorkflowRunOutput, value: int, **options: Any) -> Any:
    await anyio.wait_all_tasks_blocked()  # what is to be evicted is
    (item,) = [item for item in output.active_step_requirements if item.answered_at is None]
    item.answer({"user_input": {"value": value}})
    return await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item], **options)


@pytest.mark.parametrize("executor", [talk, talk_in_a_thread, AgentThatAsks])
@pytest.mark.parametrize("place", ["same process", "evicted", "another process"])
async def test_each_chunk_is_in_the_log_once_and_the_content_is_whole(db: BaseDb, executor: Any, place: str) -> None:
    def make() -> Workflow:
        step = Step("talk", agent=executor()) if executor is AgentThatAsks else Step("talk", executor=executor)
        return build(db, step, evict_after=300.0 if place == "same process" else 0.0)

    workflow = make()
    output = await workflow.arun()
    assert told(output.events) == ALL[:2]
    for value in (1, 2):
        workflow = make() if place == "another process" else workflow
        output = await reply(workflow, output, value)
    assert output.content == "one 1 2"
    assert told(output.events) == ALL


async def test_a_reader_of_the_continuation_gets_what_is_new(db: BaseDb) -> None:
    paused = await build(db, Step("talk", executor=talk)).arun()
    await anyio.wait_all_tasks_blocked()
    again = await build(db, Step("talk", executor=talk)).acontinue_run(
        run_id=paused.run_id,
        step_requirements=answers().fills_in("talk", value=1).answer(paused),
        stream=True,
        stream_events=True,
    )
    events, error = await listen(again)
    assert (told(events), error) == (ALL[2:4], None)


async def test_an_attempt_after_a_failed_one_says_all_of_it_again(db: BaseDb) -> None:
    tries: list[int] = []

    async def fails_first(run_context: RunContext) -> AsyncIterator[str]:
        yield "a "
        await run_context.ask("sure?", int)
        yield "b "
        tries.append(run_context.attempt)
        if run_context.attempt == 1:
            raise ValueError("not yet")
        yield f"{await run_context.ask('really?', int)}"

    def make() -> Workflow:
        return build(db, Step("talk", executor=fails_first, retry=Retry(attempts=2, delay=0.001)))

    output = await reply(make(), await make().arun(), 1)
    assert told(output.events) == ["a ", "b ", "a ", "b "]  # the second attempt takes back what the first one said
    assert tries == [1, 2]


async def test_an_agent_that_asked_and_then_stops_for_an_approval_goes_on_behind_both(db: BaseDb) -> None:
    class Both(AgentThatAsks):
        async def talk(self, input: Any, run_context: RunContext, **given: Any) -> AsyncIterator[Any]:
            yield "a "
            await run_context.ask("sure?", int)
            for item in self._play(Reply(asks=[{"id": "t", "tool_execution": {"tool_name": "pay"}}]), 0, {}):
                yield item

    def make() -> Workflow:
        agent = Both()
        agent.replies = [Reply(then=["x ", "y ", "z"])]
        return build(db, Step("agent", agent=agent))

    output = await reply(make(), await make().arun(), 1)
    (approval,) = output.steps_requiring_executor_resolution
    approval.answer({"confirmed": True})
    output = await make().acontinue_run(run_id=output.run_id, step_requirements=[approval])
    said = [
        getattr(event, "delta", None) or event.content
        for event in of_kind(output.events or (), "StepContent", "RunContent")
    ]
    assert "".join(said) == "a x y z"
