"""Workflows that a person looks at: one of every shape, one that asks, one that streams until it is told to go on."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator
from enum import Enum
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field

from workflow_runtime import (
    BaseDb,
    Condition,
    HumanReview,
    Loop,
    Map,
    Parallel,
    Retry,
    RunContext,
    Step,
    StepInput,
    Workflow,
)

XSS = (
    "<img src=x onerror=\"window.pwned='1'\"><script>window.pwned='2'</script>'\"></textarea></pre></title>&amp;{{7*7}}"
)


class Gate:
    """A step waits for it; a test lets it say something, and opens it, from its own thread."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def tell(self, text: str) -> None:
        self._said.put(text)

    def open(self) -> None:
        self._said.put(None)

    async def texts(self) -> AsyncIterator[str]:
        """What is told, until it is opened; open once, it stays so."""
        while True:
            while self._said.empty():
                await anyio.sleep(0.01)
            text = self._said.get()
            if text is None:
                self._said.put(None)
                return
            yield text


class Meal(Enum):
    none = "none"
    fish = "fish"
    rice = "rice"


class Person(BaseModel):
    name: str = Field(min_length=2, max_length=40, description="As in the passport")
    age: int = Field(ge=0, le=150)


class Trip(BaseModel):
    """Every kind of field that a form has."""

    to: str = Field(pattern="^[A-Z]{3}$", max_length=3, description="Three letters, as BER")
    seats: int = Field(default=2, ge=1, le=9)
    budget: float = Field(gt=0)
    window: bool
    meal: Meal = Meal.fish
    extras: list[Annotated[str, Field(json_schema_extra={"enum": ["bag", "bike", "dog"]})]] = []
    stops: list[str] = []
    traveller: Person
    note: str | None = None
    more: dict[str, Any] = {}


def every_shape(db: BaseDb | None) -> Workflow:
    """Containers in one another, a retry, a changed state, a branch that is not taken."""
    failures = iter([ValueError("the first source was away"), TimeoutError("the second was slow")])

    async def gather(session_state: dict[str, Any]) -> str:
        for error in failures:
            await anyio.sleep(0.12)
            raise error
        await anyio.sleep(0.1)
        session_state["sources"] = {"found": 3, "names": ["a", "b", "c"]}
        return "three sources"

    async def market(step_input: StepInput, session_state: dict[str, Any]) -> dict[str, Any]:
        await anyio.sleep(0.25)
        session_state["market"] = "grows"
        return {"growth": 0.12, "of": step_input.previous_step_content}

    async def people(step_input: StepInput) -> str:
        await anyio.sleep(0.15)
        return "12 interviews"

    async def draft(step_input: StepInput, session_state: dict[str, Any]) -> str:
        await anyio.sleep(0.08)
        session_state["sources"] = {**session_state["sources"], "found": session_state["sources"]["found"] + 1}
        return f"draft, after {step_input.previous_step_content}"

    async def judge(step_input: StepInput) -> str:
        await anyio.sleep(0.05)
        return "better"

    async def translate(step_input: StepInput) -> str:
        await anyio.sleep(0.06)
        return f"translated: {step_input.input}"

    async def letter(step_input: StepInput) -> str:
        await anyio.sleep(0.05)
        return "A letter in five languages."

    inner = Workflow(name="Translation", steps=[Step(name="translate", executor=translate)])
    return Workflow(
        id="report",
        name="Market report",
        description="Gathers sources, writes, and translates what it wrote.",
        db=db,
        store_events=True,
        steps=[
            Step(name="gather", executor=gather, retry=Retry(attempts=3, delay=0.05, jitter=0)),
            Parallel(Step(name="market", executor=market), Step(name="people", executor=people), name="research"),
            Loop(
                [Step(name="draft", executor=draft), Step(name="judge", executor=judge)], name="write", max_iterations=3
            ),
            Condition(
                [Map(Step(name="into", workflow=inner), over=lambda i: ["de", "fr", "es"], name="languages")],
                evaluator=True,
                else_steps=[Step(name="keep", executor=judge)],
                name="abroad",
            ),
            Step(name="letter", executor=letter),
        ],
    )


def streaming(db: BaseDb | None, gate: Gate) -> Workflow:
    """Streams a line, then what the gate is told until it is opened, and an end."""

    async def write(step_input: StepInput) -> AsyncIterator[str]:
        yield "Once upon a time\n"
        async for text in gate.texts():
            yield text
        yield " an end."

    async def read(step_input: StepInput) -> str:
        return f"read: {step_input.previous_step_content}"

    return Workflow(
        id="story", name="Story", db=db, steps=[Step(name="write", executor=write), Step(name="read", executor=read)]
    )


def asking(db: BaseDb | None) -> Workflow:
    """A confirmation, a route and a form with every kind of field, one after another."""

    async def pack(step_input: StepInput) -> str:
        return "packed"

    async def book(step_input: StepInput, run_context: RunContext) -> dict[str, Any]:
        trip = await run_context.ask("Where to?", schema=Trip)
        return {"booked": trip if isinstance(trip, dict) else trip.model_dump(mode="json")}

    return Workflow(
        id="trip",
        name="Trip",
        description="Asks before it packs, and where to go.",
        db=db,
        steps=[
            Step(
                name="pack",
                executor=pack,
                human_review=HumanReview(requires_confirmation=True, confirmation_message="Shall I pack for a week?"),
            ),
            Step(name="book", executor=book),
        ],
    )


def asking_twice(db: BaseDb | None) -> Workflow:
    """Two questions at once."""

    def step(name: str) -> Step:
        review = HumanReview(requires_confirmation=True, confirmation_message=f"May the {name} go?")
        return Step(name=name, executor=lambda step_input: name, human_review=review)

    return Workflow(id="twice", name="Twice", db=db, steps=[Parallel(step("first"), step("second"), name="both")])


def failing(db: BaseDb | None) -> Workflow:
    """Fails at its second step the first time, and not when it is tried again."""
    failures = iter([RuntimeError("no paper left in the printer")])

    async def write(step_input: StepInput) -> str:
        return "a page"

    async def press(step_input: StepInput) -> str:
        for error in failures:
            raise error
        return "printed"

    return Workflow(
        id="print", name="Print", db=db, steps=[Step(name="write", executor=write), Step(name="press", executor=press)]
    )


def hostile(db: BaseDb | None) -> Workflow:
    """Markup in every name, content, error, question and state."""

    async def say(step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> AsyncIterator[str]:
        session_state[XSS] = {XSS: XSS}
        yield XSS

    async def fail(step_input: StepInput) -> str:
        raise ValueError(XSS)

    return Workflow(
        id="hostile",
        name=XSS,
        description=XSS,
        db=db,
        store_events=True,
        steps=[
            Step(name=f"say {XSS}", executor=say),
            Parallel(
                Step(
                    name=f"ask {XSS}",
                    executor=say,
                    human_review=HumanReview(
                        requires_user_input=True,
                        user_input_message=XSS,
                        user_input_schema=[
                            {"name": XSS, "description": XSS, "field_type": "str"},
                            {
                                "name": f"one {XSS}",
                                "field_type": "str",
                                "allowed_values": [XSS, "b"],
                                "required": False,
                            },
                        ],
                    ),
                ),
                name=f"both {XSS}",
            ),
            Step(name=f"fail {XSS}", executor=fail),
        ],
    )


class Order(BaseModel):
    item: str = Field(min_length=1)
    count: int = Field(default=1, ge=1)


def with_input(db: BaseDb | None) -> Workflow:
    """Its input has a schema."""

    async def order(step_input: StepInput) -> str:
        return f"ordered {step_input.input}"

    return Workflow(id="order", name="Order", db=db, input_schema=Order, steps=[Step(name="order", executor=order)])


def busy(db: BaseDb | None, count: int) -> Workflow:
    """A run of many events: ``count`` of them, in a step that streams and a Map of many items."""

    async def chatter(run_context: RunContext) -> str:
        for number in range(count):
            run_context.progress(number, count, f"item {number}")
        return "done"

    return Workflow(id="busy", name="Busy", db=db, store_events=True, steps=[Step(name="chatter", executor=chatter)])
