"""Agents and teams as executors: any object that keeps the small protocol, streamed or not."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from verbs import Verb, listen, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    Image,
    InMemoryDb,
    Parallel,
    Retry,
    RunEvent,
    RunStatus,
    Step,
    StepInput,
    Workflow,
)
from workflow_runtime.executors import Executor, ExecutorError
from workflow_runtime.testing import Reply, ScriptedAgent, ScriptedTeam

WAYS = [
    pytest.param({"streams": streams, "sync": sync}, id=f"{'stream' if streams else 'result'}-{kind}")
    for streams, (sync, kind) in itertools.product((True, False), ((False, "async"), (True, "sync")))
]


# -- one run of an agent, however it is written -------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_runs_the_same_however_it_is_written_and_in_every_mode(verb: Verb, way: dict[str, bool]) -> None:
    def make(db: BaseDb) -> Workflow:
        agent = ScriptedAgent("writer", Reply(content="Hello there", tools=["search"]), **way)
        return Workflow(name="w", steps=[Step(name="write", agent=agent)], db=db, store_events=True)

    ran = verb(make, "say hello")
    (result,) = ran.output.step_results
    assert (result.content, result.executor_type, result.executor_name) == ("Hello there", "agent", "writer")
    (executed,) = ran.output.step_executor_runs or ()
    assert (executed.content, executed.executor_name, executed.status) == ("Hello there", "writer", "COMPLETED")
    assert (executed.metrics.input_tokens, executed.metrics.output_tokens) == (2, 2)
    assert [message["role"] for message in executed.messages] == ["user", "assistant"]
    spoken = ["RunContent"] * 2
    told = ["RunStarted", "ToolCallStarted", "ToolCallCompleted", *spoken, "RunCompleted"]
    between = told if way["streams"] else []
    assert ran.names == ["WorkflowStarted", "StepStarted", *between, "StepCompleted", "WorkflowCompleted"]


def test_an_agents_events_are_typed_and_say_whose_they_are(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        step = Step(name="write", agent=ScriptedAgent("writer", "Hello there"))
        return Workflow(name="w", steps=[step], db=db, store_events=True)

    ran = verb(make, "x")
    chunks = of_kind(ran.output.events or (), "RunContent")
    assert [chunk.content for chunk in chunks] == ["Hello", " there"]
    for chunk in chunks:
        assert (chunk.executor_name, chunk.executor_id, chunk.path) == ("writer", "writer", "0.write")
        assert (chunk.step_name, chunk.step_index, chunk.workflow_name) == ("write", 0, "w")
        assert chunk.run_id == ran.output.run_id
        assert chunk.executor_run_id == f"{ran.output.run_id}:0.write"


def test_a_teams_events_have_its_prefix(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        team = ScriptedTeam("editors", "Fine", members=[ScriptedAgent("one")])
        return Workflow(name="w", steps=[Step(name="edit", team=team)], db=db, store_events=True)

    ran = verb(make, "x")
    assert ran.names[2:5] == ["TeamRunStarted", "TeamRunContent", "TeamRunCompleted"]
    assert ran.output.step_results[0].executor_type == "team"


def test_agents_and_teams_in_a_list_become_steps_of_their_names() -> None:
    output = Workflow(steps=[ScriptedAgent("a", "1"), ScriptedTeam("t", "2")]).run("x")
    assert [(result.step_name, result.executor_type) for result in output.step_results] == [
        ("a", "agent"),
        ("t", "team"),
    ]


def test_the_scripted_agent_keeps_the_documented_protocol() -> None:
    assert isinstance(ScriptedAgent("a"), Executor)


# -- filters -------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"stream_events": True}, ["RunStarted", "RunContent", "RunContent", "RunCompleted"]),
        ({"stream_events": False}, ["RunContent", "RunContent"]),
        ({"stream_events": True, "stream_executor_events": False}, []),
        ({"stream_events": False, "stream_executor_events": False}, []),
    ],
)
async def test_what_a_stream_shows_of_an_agent(options: dict[str, Any], shown: list[str]) -> None:
    workflow = Workflow(steps=[Step(name="a", agent=ScriptedAgent("a", "Hello there"))])
    events, _ = await listen(workflow.arun("x", stream=True, **options))
    assert [name for name in names(events) if name.startswith("Run")] == shown


@pytest.mark.parametrize("skip", [[RunEvent.run_content], ["RunContent"]], ids=["member", "text"])
def test_executor_events_can_be_left_out_of_the_store(skip: list[Any]) -> None:
    workflow = Workflow(
        steps=[Step(name="a", agent=ScriptedAgent("a", "Hello there"))],
        db=InMemoryDb(),
        store_events=True,
        events_to_skip=skip,
    )
    stored = names(workflow.run("x").events or ())
    assert "RunContent" not in stored
    assert "RunCompleted" in stored


def test_store_executor_outputs_false_keeps_the_step_but_not_the_run() -> None:
    workflow = Workflow(
        steps=[Step(name="a", agent=ScriptedAgent("a", "Hello"))], db=InMemoryDb(), store_executor_outputs=False
    )
    output = workflow.run("x")
    assert output.step_executor_runs is None
    assert output.content == "Hello"


# -- what it is given ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_agent_gets_what_it_can_take_and_no_more() -> None:
    class Small:
        name = "small"

        async def arun(self, input: Any, session_id: str) -> str:
            return f"{input} in {session_id}"

    class Positional:
        name = "positional"

        async def arun(self, message: Any) -> str:
            return f"heard {message}"

    agent = ScriptedAgent("all", "fine")
    workflow = Workflow(steps=[Small(), Positional(), agent], session_state={"k": 1})
    await workflow.arun("x", session_id="s", user_id="u", run_id="r", images=[Image(url="https://x/i.png")])
    call = agent.calls[0]
    assert (call["session_id"], call["user_id"], call["run_id"]) == ("s", "u", "r:2.all")
    assert call["session_state"] == {"k": 1}
    assert call["run_context"].path == "2.all"
    assert [image.url for image in call["images"]] == ["https://x/i.png"]
    assert call["input"] == "heard x in s"


def written_in_many_ways() -> dict[str, Any]:
    """Methods that take the message by another name, position or not at all by name."""

    async def input(self: Any, input: str, **more: Any) -> Any:
        return input, sorted(more)[:1]

    async def keywords(self: Any, message: str, **more: Any) -> Any:
        return message, sorted(more)[:1]

    async def behind_another(self: Any, session_id: str, message: str) -> Any:
        return message, session_id

    async def by_position(self: Any, message: str, /, session_id: str | None = None) -> Any:
        return message, session_id

    async def by_position_and_keywords(self: Any, message: str, /, **more: Any) -> Any:
        return message, sorted(more)[:1]

    async def anything(self: Any, *args: Any, **more: Any) -> Any:
        return (args or more["input"]) and "hello", sorted(more)[:1]

    async def positions(self: Any, *args: Any) -> Any:
        return args[0], None

    async def keyword_only(self: Any, *, prompt: str, temperature: float = 1.0) -> Any:
        return prompt, temperature

    return {name: found for name, found in locals().items() if callable(found)}


@pytest.mark.anyio
@pytest.mark.parametrize("way", written_in_many_ways())
@pytest.mark.parametrize("sync", [False, True])
async def test_the_message_reaches_an_agent_however_its_parameter_is_called(way: str, sync: bool) -> None:
    method = written_in_many_ways()[way]

    def run(*args: Any, **more: Any) -> Any:
        return anyio.run(partial(method, *args, **more))

    run.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]  # read by inspect
    agent = type("Agent", (), {"run": run} if sync else {"arun": method})()
    output = await Workflow(steps=[Step("a", agent=agent)], session_id="s").arun("hello")
    shown = {"keywords": ["audio"], "by_position_and_keywords": ["audio"], "input": ["audio"], "anything": ["audio"]}
    other = {"behind_another": "s", "by_position": "s", "keyword_only": 1.0}
    assert output.content == ("hello", shown.get(way, other.get(way)))


def test_an_agents_message_is_the_last_content_or_the_input(verb: Verb) -> None:
    messages: list[Any] = []

    def make(db: BaseDb) -> Workflow:
        agents = [ScriptedAgent(name, f"{name} says") for name in ("a", "b", "c", "d")]
        messages.append(agents)
        a, b, c, d = agents
        return Workflow(name="w", steps=[a, Parallel(b, c, name="both"), d], db=db, store_events=True)

    verb(make, "the input", ordered=False)
    for a, b, c, d in messages:
        assert (a.message, b.message, c.message) == ("the input", "a says", "a says")
        assert d.message == "=== b ===\nb says\n\n=== c ===\nc says"


@pytest.mark.anyio
async def test_history_is_put_before_the_message_when_the_workflow_says_so(db: BaseDb) -> None:
    agent = ScriptedAgent("a", "first answer", "second answer")
    workflow = Workflow(steps=[agent], db=db, add_workflow_history_to_steps=True)
    await workflow.arun("first question", session_id="s")
    await workflow.arun("second question", session_id="s")
    message = agent.message
    assert "first question" in message
    assert "first answer" in message
    assert message.endswith("second question")


# -- what comes back -----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("found", "content"),
    [
        ("plain text", "plain text"),
        ({"rows": 3}, {"rows": 3}),
        (None, None),
        (SimpleNamespace(content=[1, 2], run_id="ar"), [1, 2]),
    ],
    ids=["text", "dict", "none", "object"],
)
async def test_an_agent_may_return_any_value_or_an_object_with_content(found: Any, content: Any) -> None:
    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> Any:
            return found

    output = await Workflow(steps=[Agent()]).arun("x")
    assert output.content == content


@pytest.mark.anyio
async def test_plain_text_chunks_are_streamed_and_joined_where_no_output_follows() -> None:
    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> AsyncIterator[str]:
            yield "Hello "
            yield "there"

    events, _ = await listen(Workflow(steps=[Agent()]).arun("x", stream=True, stream_events=True))
    assert [event.delta for event in of_kind(events, "StepContent")] == ["Hello ", "there"]
    assert events[-1].content == "Hello there"


@pytest.mark.anyio
async def test_a_stream_is_read_to_its_own_end_behind_the_output_object() -> None:
    ended: list[str] = []

    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> AsyncIterator[Any]:
            try:
                yield SimpleNamespace(content="the end")
                yield {"event": "RunCompleted", "content": "the end"}
                ended.append("by itself")
            finally:
                ended.append("closed")

    events, _ = await listen(Workflow(steps=[Agent()]).arun("x", stream=True, stream_events=True))
    assert (events[-1].content, ended) == ("the end", ["by itself", "closed"])
    assert "RunCompleted" in names(events)


@pytest.mark.anyio
@pytest.mark.parametrize("verb_name", ["arun", "run", "ainvoke", "acall", "invoke"])
@pytest.mark.parametrize("way", ["coroutine", "async generator", "function", "generator", "returns a coroutine"])
async def test_whatever_method_runs_an_agent_and_however_it_is_written(verb_name: str, way: str) -> None:
    async def coroutine(input: str) -> str:
        return f"answer to {input}"

    async def async_generator(input: str) -> AsyncIterator[str]:
        yield "answer "
        yield f"to {input}"

    def function(input: str) -> str:
        return f"answer to {input}"

    def generator(input: str) -> Iterator[str]:
        yield "answer "
        yield f"to {input}"

    def returns_a_coroutine(input: str) -> Any:
        return coroutine(input)

    ways = {
        "coroutine": coroutine,
        "async generator": async_generator,
        "function": function,
        "generator": generator,
        "returns a coroutine": returns_a_coroutine,
    }
    agent = SimpleNamespace(**{verb_name: ways[way]})
    output = await Workflow(steps=[Step("a", agent=agent)]).arun("hi")
    assert (output.status, output.content) == (RunStatus.completed, "answer to hi")


def test_an_object_that_nothing_can_run_is_refused_when_the_workflow_is_built() -> None:
    with pytest.raises(BuildError, match=r"Step 's': object cannot run as an agent.*arun"):
        Workflow(name="w", steps=[Step(name="s", agent=object())])


@pytest.mark.anyio
async def test_an_error_event_without_an_exception_or_an_output_fails_the_step() -> None:
    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> AsyncIterator[Any]:
            yield {"event": "RunStarted"}
            yield {"event": "RunError", "content": "model down"}

    with pytest.raises(ExecutorError, match="agent: model down"):
        await Workflow(steps=[Agent()]).arun("x")


def test_media_and_metrics_of_an_agent_reach_the_run(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        reply = Reply(content="drawn", images=[Image(url="https://x/i.png")])
        steps = [Step(name="draw", agent=ScriptedAgent("painter", reply)), Step(name="see", executor=count_images)]
        return Workflow(name="w", steps=steps, db=db, store_events=True)

    async def count_images(step_input: StepInput) -> int:
        return len(step_input.images or ())

    ran = verb(make, "one two three")
    assert ran.content == 1
    assert [image.url for image in ran.output.images or ()] == ["https://x/i.png"]
    assert ran.output.metrics is not None
    measured = ran.output.metrics.steps["draw"].metrics
    assert measured is not None
    assert (measured.input_tokens, measured.total_tokens) == (3, 4)


@pytest.mark.anyio
async def test_a_sessions_metrics_sum_what_its_runs_used(db: BaseDb) -> None:
    workflow = Workflow(steps=[ScriptedAgent("a", "one two")], db=db)
    await workflow.arun("x", session_id="s")
    await workflow.arun("x y", session_id="s")
    metrics = await workflow.aget_session_metrics("s")
    assert metrics is not None
    assert (metrics.runs, metrics.input_tokens, metrics.output_tokens) == (2, 3, 4)


# -- failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_an_agent_raises_is_the_steps_failure(verb: Verb, way: dict[str, bool]) -> None:
    def make(db: BaseDb) -> Workflow:
        agent = ScriptedAgent("a", Reply(content="half a", error=ConnectionError("model away")), **way)
        return Workflow(name="w", steps=[Step(name="a", agent=agent)], db=db, store_events=True)

    ran = verb(make, raises=ConnectionError)
    assert (ran.output.error, ran.names[-2:]) == ("model away", ["StepError", "WorkflowError"])


@pytest.mark.anyio
async def test_an_agent_that_failed_is_tried_again_and_its_text_retracted() -> None:
    agent = ScriptedAgent("a", Reply(content="half", error=ConnectionError("away")), "whole answer")
    step = Step(name="a", agent=agent, retry=Retry(attempts=2, delay=0))
    events, error = await listen(Workflow(steps=[step]).arun("x", stream=True, stream_events=True))
    assert error is None
    (retry,) = of_kind(events, "StepRetry")
    assert retry.discards_deltas
    assert events[-1].content == "whole answer"


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["ERROR", "CANCELLED", RunStatus.error])
async def test_an_output_that_says_it_failed_is_no_success(status: Any) -> None:
    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> Any:
            return SimpleNamespace(content="quota used up", status=status)

    output = await Workflow(steps=[Agent()]).arun("x")
    (result,) = output.step_results
    assert (result.success, result.error) == (False, "quota used up")


@pytest.mark.anyio
async def test_an_agent_that_takes_no_input_says_where_the_protocol_is() -> None:
    class Deaf:
        name = "deaf"

        async def arun(self) -> str:
            return "?"

    with pytest.raises(TypeError, match=r"takes no input; see workflow_runtime\.executors"):
        await Workflow(steps=[Deaf()]).arun("x")


# -- pauses --------------------------------------------------------------------------------------------------------------


def asking_agent(**way: bool) -> ScriptedAgent:
    def answered(requirements: list[dict[str, Any]]) -> str:
        return "deleted" if requirements[0]["confirmation"] else "left alone"

    asks = [{"id": "q1", "tool": "delete_file", "confirmation": None}]
    return ScriptedAgent("careful", Reply(content="may I?", asks=asks, then=answered), **way)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_asks_pauses_the_run_in_every_mode(verb: Verb, way: dict[str, bool]) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[Step(name="ask", agent=asking_agent(**way))], db=db, store_events=True)

    ran = verb(make, "x")
    assert ran.status is RunStatus.paused
    (requirement,) = ran.output.steps_requiring_executor_resolution
    assert requirement.executor_requirements == [{"id": "q1", "tool": "delete_file", "confirmation": None}]
    assert ran.names[-2:] == ["StepExecutorPaused", "WorkflowPaused"]


@pytest.mark.anyio
@pytest.mark.parametrize(("answer", "content"), [(True, "deleted"), (False, "left alone")])
@pytest.mark.parametrize("way", WAYS)
async def test_an_answered_agent_goes_on_also_as_another_object(
    db: BaseDb, way: dict[str, bool], answer: bool, content: str
) -> None:
    def make() -> Workflow:
        return Workflow(name="w", steps=[Step(name="ask", agent=asking_agent(**way))], db=db, store_events=True)

    await make().arun("x", run_id="r")
    workflow = make()  # as after a restart: another agent of the same script
    paused = await workflow.aget_run_output("r")
    assert paused is not None
    (requirement,) = paused.steps_requiring_executor_resolution
    assert requirement.executor_requirements is not None
    requirement.executor_requirements[0]["confirmation"] = answer
    with anyio.fail_after(60):
        done = await workflow.acontinue_run(run_id="r", step_requirements=[requirement])
    assert (done.status, done.content) == (RunStatus.completed, content)
    assert "StepExecutorContinued" in names(done.events or ())


@pytest.mark.anyio
@pytest.mark.parametrize("in_function", [False, True], ids=["agent", "function that yields its events"])
@pytest.mark.parametrize("event", ["RunContent", "OfTheLibrary"])
async def test_a_providers_own_objects_are_left_out_of_what_is_stored(
    db: BaseDb, event: str, in_function: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> AsyncIterator[Any]:
            for _ in range(2):
                yield {
                    "event": event,
                    "content": "hello",
                    "raw_chunk": object(),
                    "tool": {"name": "t", "raw": object()},
                }

    async def function(step_input: StepInput) -> AsyncIterator[Any]:
        async for item in Agent().arun(step_input.input):
            yield item

    step = Step("a", executor=function) if in_function else Step("a", agent=Agent())
    workflow = Workflow(name="w", steps=[step], db=db, store_events=True)
    output = await workflow.arun("x")
    assert output.status is RunStatus.completed
    stored = await workflow.aget_run_output(str(output.run_id))
    assert stored is not None
    (found, _) = [item for item in stored.events or () if "hello" in (getattr(item, "content", None) or "")][:2]
    assert getattr(found, "raw_chunk", None) is None
    warnings = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(warnings) == 1
    assert "raw_chunk" in warnings[0]
