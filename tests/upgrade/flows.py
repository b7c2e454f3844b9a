"""The workflows whose runs are in ``data``. What is there names their steps, so a name here is never changed.

``entered`` notes the path of each step that runs. ``trouble`` is True while the data are written: then some steps fail.
``reached`` is called where a process dies while the data are written; otherwise it does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from workflow_runtime import (
    Audio,
    BaseDb,
    Condition,
    CustomEvent,
    File,
    HumanReview,
    Image,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunMetrics,
    Step,
    StepInput,
    StepOutput,
    Steps,
    UserInputField,
    Video,
    Workflow,
)
from workflow_runtime.testing import Reply, ScriptedAgent, ScriptedTeam

from .classes import Booked, Delivery, values

__all__ = ["build", "entered"]

entered: list[str] = []
trouble = False


async def nothing(run_context: RunContext, label: str) -> None:
    """What ``reached`` is while nothing is to be written."""


reached: Callable[[RunContext, str], Awaitable[None]] = nothing


# -- steps -------------------------------------------------------------------------------------------------------------


def first(step_input: StepInput, run_context: RunContext) -> str:
    entered.append(run_context.path)
    run_context.session_state["first"] = run_context.run_id
    return f"first {step_input.input}"


async def pay(step_input: StepInput, run_context: RunContext) -> Any:
    entered.append(run_context.path)
    data = step_input.additional_data or {}
    known = {key: data[key] for key in ("user_input", "rejection_feedback") if key in data}
    return {"paid": step_input.previous_step_content, **known}


def last(step_input: StepInput, run_context: RunContext) -> str:
    entered.append(run_context.path)
    return f"last: {step_input.previous_step_content}"


async def work(step_input: StepInput, run_context: RunContext) -> str:
    entered.append(run_context.path)
    return f"work {run_context.path}"


def fails(step_input: StepInput, run_context: RunContext) -> str:
    entered.append(run_context.path)
    if trouble:
        raise LookupError("no such desk")
    return f"attempt {run_context.attempt}"


def decides(step_input: StepInput) -> bool:
    if trouble:
        raise LookupError("cannot decide")
    return True


async def asks_text(run_context: RunContext) -> str:
    entered.append(run_context.path)
    return f"hello {await run_context.ask('Who?')}"


async def asks_number(run_context: RunContext) -> str:
    entered.append(run_context.path)
    return f"{await run_context.ask('How many?', int)} pieces"


async def asks_model(run_context: RunContext) -> Any:
    entered.append(run_context.path)
    return await run_context.ask("Where to?", Delivery)


async def asks_form(run_context: RunContext) -> Any:
    entered.append(run_context.path)
    form = [UserInputField(name="days", field_type="int"), UserInputField(name="note", required=False)]
    return await run_context.ask("When?", form)


async def asks_in_time(run_context: RunContext) -> str:
    entered.append(run_context.path)
    return f"{await run_context.ask('How many?', int, timeout=60, on_timeout='skip')}"


async def asks_twice(run_context: RunContext) -> AsyncIterator[str]:
    entered.append(run_context.path)
    yield "before "
    run_context.emit(note="at the desk")
    drawn = await run_context.once("draw", lambda: entered.append("drawn") or "a card")
    one = await run_context.ask("One?", int)
    yield f"between {one} "
    two = await run_context.ask("Two?", int)
    yield f"after {two} with {drawn}"


async def asks_later(run_context: RunContext) -> str:
    entered.append(run_context.path)
    if run_context.attempt == 1:
        raise ConnectionError("try again")
    return f"attempt {run_context.attempt}: {await run_context.ask('How many?', int)}"


async def asks_on_two(run_context: RunContext) -> str:
    entered.append(run_context.path)
    return "at once" if run_context.path.count("#1") == 0 else f"{await run_context.ask('How many?', int)}"


async def by_hand(run_context: RunContext) -> str:
    """A workflow that is a function."""
    one = await run_context.step("one", work)
    two = await run_context.step("gate", work, requires_confirmation=True)
    count = await run_context.ask("How many?", int)
    return f"{one}, {two}, {count}"


def dies(label: str) -> Callable[..., Any]:
    async def step(step_input: StepInput, run_context: RunContext) -> str:
        entered.append(run_context.path)
        await reached(run_context, label)
        return f"{label} of {step_input.previous_step_content or step_input.input}"

    return step


async def dies_in_text(run_context: RunContext) -> AsyncIterator[str]:
    entered.append(run_context.path)
    for word in ("once ", "upon ", "a "):
        yield word
    await run_context.once("mark", lambda: "so far")  # stores what was said
    await reached(run_context, "text")
    yield "time"


async def dies_after_once(run_context: RunContext) -> str:
    entered.append(run_context.path)
    drawn = await run_context.once("draw", lambda: entered.append("drawn") or "a card")
    await reached(run_context, "once")
    return f"drew {drawn}"


async def dies_after_sleep(run_context: RunContext) -> str:
    entered.append(run_context.path)
    await run_context.once("before", lambda: "noted")
    await run_context.sleep(0.001 if not trouble else 3600)
    return "slept"


async def dies_with_state(run_context: RunContext) -> str:
    entered.append(run_context.path)
    run_context.session_state["unsaved"] = True
    run_context.session_state["first"] = "changed"
    await reached(run_context, "state")
    return f"unsaved {run_context.session_state['unsaved']}"


async def dies_by_hand(run_context: RunContext) -> str:
    one = await run_context.step("one", work)
    two = await run_context.step("two", dies("two"))
    return f"{one}, {two}"


async def dies_on_two(step_input: StepInput, run_context: RunContext) -> str:
    entered.append(run_context.path)
    if "#1" in run_context.path:
        await reached(run_context, "second")
    return f"{step_input.input}: {run_context.path}"


def shows(step_input: StepInput, run_context: RunContext) -> StepOutput:
    """Media, events of two kinds, progress, numbers."""
    entered.append(run_context.path)
    run_context.progress(1, 2, "half")
    run_context.emit(CustomEvent(kind="plain", amount=3))
    run_context.emit(Booked(seat="12A", price=values()["decimal"]))
    return StepOutput(
        content="shown",
        images=[Image(content=b"\x89PNG", mime_type="image/png", id="i")],
        audio=[Audio(url="https://example.org/a.mp3", duration=1.5)],
        videos=[Video(url="https://example.org/v.mp4", width=640)],
        files=[File(content=b"text", name="a.txt")],
        metrics=RunMetrics(input_tokens=3, output_tokens=4, total_tokens=7, cost=0.25),
    )


def keeps(step_input: StepInput, run_context: RunContext) -> dict[str, Any]:
    entered.append(run_context.path)
    run_context.session_state.update(values())
    return values()


async def conflicts(run_context: RunContext) -> str:
    entered.append(run_context.path)
    await reached(run_context, "conflict")
    run_context.session_state["shared"] = "mine"
    return "done"


def counts(run_context: RunContext) -> int:
    entered.append(run_context.path)
    run_context.session_state["count"] = run_context.session_state.get("count", 0) + 1
    return int(run_context.session_state["count"])


# -- workflows ---------------------------------------------------------------------------------------------------------


def gate(name: str = "pay", **options: Any) -> Step:
    return Step(name, executor=pay, requires_confirmation=True, confirmation_message="Pay 120 EUR?", **options)


def between(*steps: Any) -> list[Any]:
    return [Step("first", executor=first), *steps, Step("last", executor=last)]


def agent(asks: dict[str, Any]) -> Step:
    return Step("clerk", agent=ScriptedAgent("clerk", Reply(content="let me ask", asks=[asks], then=_answered)))


def _answered(requirements: list[dict[str, Any]]) -> str:
    (item,) = requirements
    names = ("confirmation", "confirmation_note", "user_input", "user_feedback", "external_execution_result")
    return f"clerk got {[item[name] for name in names if name in item]}"


def plain(*names: str) -> list[Step]:
    return [Step(name, executor=work) for name in names]


_REVIEW = HumanReview(requires_confirmation=True, confirmation_message="Begin?")
_FORM = [
    UserInputField(name="seats", field_type="int", description="How many?"),
    UserInputField(name="side", allowed_values=["window", "aisle"]),
]
_TOOL = {"tool_name": "transfer", "tool_args": {"euros": 7}}


def _asking() -> dict[str, Any]:
    """Steps that stop for a person, by the name of their workflow."""
    return {
        "confirm": between(gate()),
        "confirm-steps": between(Steps("group", steps=plain("a", "b"), human_review=_REVIEW)),
        "confirm-parallel": between(Parallel(*plain("a", "b"), name="both", human_review=_REVIEW)),
        "confirm-map": between(Map(plain("a")[0], lambda: ["x", "y"], name="each", human_review=_REVIEW)),
        "confirm-loop": between(Loop(plain("a"), name="loop", max_iterations=2, human_review=_REVIEW)),
        "confirm-condition": between(
            Condition(plain("a"), True, plain("b"), name="if", requires_confirmation=True, confirmation_message="a?")
        ),
        "confirm-router": between(Router(plain("a", "b"), lambda: "b", name="way", human_review=_REVIEW)),
        "form": between(Step("book", executor=pay, requires_user_input=True, user_input_schema=_FORM)),
        "form-model": between(Step("book", executor=pay, requires_user_input=True, user_input_schema=Delivery)),
        "review": between(Step("draft", executor=work, requires_output_review=True, on_reject="retry")),
        "review-router": between(
            Router(plain("a", "b"), lambda: "b", name="way", requires_output_review=True, output_review_message="ok?")
        ),
        "iteration": between(
            Loop(plain("a"), name="loop", max_iterations=3, requires_iteration_review=True, on_reject="retry")
        ),
        "route": between(Router(plain("a", "b"), name="way", requires_user_input=True, user_input_message="Which?")),
        "routes": between(
            Router(plain("a", "b", "c"), name="way", requires_user_input=True, allow_multiple_selections=True)
        ),
        "error": between(Step("risky", executor=fails, on_error="pause")),
        "error-condition": between(Condition(plain("a"), decides, name="if", on_error="pause")),
        "ask-text": between(Step("desk", executor=asks_text)),
        "ask-number": between(Step("desk", executor=asks_number)),
        "ask-model": between(Step("desk", executor=asks_model)),
        "ask-form": between(Step("desk", executor=asks_form)),
        "ask-twice": between(Step("desk", executor=asks_twice)),
        "ask-later": between(Step("desk", executor=asks_later, retry=Retry(attempts=2, delay=0, jitter=0))),
        "agent-confirm": between(agent({"id": "t1", "tool_execution": _TOOL})),
        "agent-input": between(
            agent(
                {
                    "id": "t1",
                    "tool_execution": {**_TOOL, "user_input_schema": [{"name": "to", "field_type": "str"}]},
                }
            )
        ),
        "agent-choice": between(agent({"id": "t1", "user_feedback_schema": [{"question": "Which?"}]})),
        "agent-call": between(agent({"id": "t1", "tool_execution": {**_TOOL, "external_execution_required": True}})),
        "branches": between(
            Parallel(
                gate("yes"),
                Step("book", executor=pay, requires_user_input=True, user_input_schema=_FORM),
                Step("desk", executor=asks_number),
                agent({"id": "t1", "tool_execution": _TOOL}),
                *plain("done"),
                name="all",
            )
        ),
        "gates": between(Parallel(gate("a"), gate("b"), gate("c"), name="all")),
        "nested": between(Workflow(name="inner", steps=[*plain("in"), gate(), *plain("out")])),
        "nested-ask": between(Workflow(name="inner", steps=[*plain("in"), Step("desk", executor=asks_number)])),
        "map-ask": between(Map(Step("desk", executor=asks_number), lambda: ["x", "y"], name="each")),
        "loop-ask": between(Loop(Step("desk", executor=asks_on_two), name="loop", max_iterations=2)),
        "by-hand": by_hand,
        "late-ask": between(Step("desk", executor=asks_in_time, on_error="skip")),
        "late-skip": between(gate(hitl_timeout=60, on_timeout="skip")),
        "late-approve": between(gate(hitl_timeout=60, on_timeout="approve")),
        "late-cancel": between(gate(hitl_timeout=60)),
    }


def _dying() -> dict[str, Any]:
    """Steps in which a process died, by the name of their workflow."""
    return {
        "dead-first": [Step("one", executor=dies("one")), *plain("two")],
        "dead-third": [*plain("one", "two"), Step("three", executor=dies("three")), *plain("four")],
        "dead-parallel": between(Parallel(*plain("left"), Step("right", executor=dies("right")), name="both")),
        "dead-map": between(Map(Step("item", executor=dies_on_two), lambda: ["x", "y", "z"], name="each")),
        "dead-loop": between(Loop(Step("count", executor=dies_on_two), name="loop", max_iterations=3)),
        "dead-condition": between(Condition([*plain("a"), Step("b", executor=dies("b"))], decides, name="if")),
        "dead-router": between(Router([*plain("a"), Step("b", executor=dies("b"))], lambda: ["a", "b"], name="way")),
        "dead-nested": between(Workflow(name="inner", steps=[*plain("in"), Step("b", executor=dies("b"))])),
        "dead-text": between(Step("tell", executor=dies_in_text)),
        "dead-once": between(Step("draw", executor=dies_after_once)),
        "dead-sleep": between(Step("wait", executor=dies_after_sleep)),
        "dead-state": between(Step("change", executor=dies_with_state)),
        "dead-by-hand": dies_by_hand,
        "dead-continued": [Step("desk", executor=asks_number), Step("b", executor=dies("b")), *plain("c")],
    }


def _ending() -> dict[str, Any]:
    """Steps of runs that ended."""
    return {
        "shows": [Step("show", executor=shows), Step("last", executor=last)],
        "keeps": [Step("keep", executor=keeps)],
        "all-kinds": between(
            Steps("group", steps=plain("s1", "s2")),
            Parallel(*plain("p1", "p2"), name="both"),
            Map(plain("m")[0], lambda: ["x", "y"], name="each"),
            Loop(plain("l"), name="loop", max_iterations=2),
            Condition(plain("yes"), False, plain("no"), name="if"),
            Router(plain("a", "b"), lambda: ["b", "a"], name="way"),
            Workflow(name="inner", steps=plain("in")),
        ),
        "fails": [Step("first", executor=first), Step("risky", executor=fails)],
        "skips": between(Step("risky", executor=fails, on_error="skip")),
        "retries": between(Step("risky", executor=fails, retry=Retry(attempts=2, delay=0, jitter=0), on_error="skip")),
        "speaks": [
            Step("writer", agent=ScriptedAgent("writer", Reply(content="three small words", tools=["search"]))),
            Step("team", team=ScriptedTeam("team", "we agree")),
        ],
        "conflicts": between(Step("change", executor=conflicts)),
        "counts": [Step("count", executor=counts)],
    }


def build(db: BaseDb | None, clock: Any = None) -> dict[str, Workflow]:
    """The workflows over ``db``, by id."""
    common: dict[str, Any] = {"db": db, "durability": "sync", "store_events": True, "telemetry": False}
    if clock is not None:
        common["clock"] = clock
    made = [
        Workflow(name=name, steps=steps, **common) for name, steps in {**_asking(), **_dying(), **_ending()}.items()
    ]
    made += [
        Workflow(name="waits", steps=[Step("one", executor=dies("one"))], session_policy="queue", **common),
        Workflow(name="evicts", steps=between(Step("desk", executor=asks_number)), evict_after=0.0, **common),
        Workflow(name="unlogged", steps=between(gate()), **{**common, "store_events": False}),
        Workflow(
            name="chat",
            steps=[Step("first", executor=first)],
            add_workflow_history_to_steps=True,
            metadata={"desk": 4},
            session_state={"language": "en"},
            **common,
        ),
    ]
    return {workflow.id: workflow for workflow in made}
