"""What only a pydantic model's own validator refuses is refused when the answer is given, also where the step that asked
does not wait any more; and the name of the model in the database makes no process do anything but look. (D8)"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Generic, TypeVar

import anyio
import pytest
from pydantic import BaseModel, Field, create_model, model_validator

from workflow_runtime import (
    BaseDb,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.engine.people.form_models import find_model, model_name
from workflow_runtime.model import codec

from .test_refused import rows

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Trip(BaseModel):
    days: int
    nights: int

    @model_validator(mode="after")
    def fits(self) -> Trip:
        if self.nights > self.days:
            raise ValueError("more nights than days")
        return self


class Longer(Trip):
    days: int = Field(ge=7)


class Pair(BaseModel, Generic[T]):
    left: T


class Outer:
    class Inner(BaseModel):
        n: int

    class Plain:
        pass


class Undescribed(BaseModel):
    n: int

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise RuntimeError("cannot be described")


async def asks(run_context: RunContext) -> str:
    return str(await run_context.ask("When?", Trip))


async def flow(run_context: RunContext) -> Any:
    def form(step_input: StepInput) -> str:
        return str((step_input.additional_data or {})["user_input"])

    return await run_context.step("form", form, requires_user_input=True, user_input_schema=Trip)


# Where a question with a model may stand, and what there is in the end.
PLACES: dict[str, Any] = {
    "in a step": [Step(name="trip", executor=asks)],
    "in a workflow function": flow,
    "in a function within a step": [Step(name="inner", workflow=Workflow(name="inner", steps=asks))],
}


def question(output: WorkflowRunOutput) -> StepRequirement:
    (item,) = [item for item in output.active_step_requirements if item.answered_at is None]
    return item


@pytest.mark.parametrize("place", PLACES)
async def test_an_answer_is_refused_at_once_by_the_same_words_and_changes_nothing(db: BaseDb, place: str) -> None:
    said: list[str] = []
    for evict_after in (300.0, 0.0):  # the step waits here; nobody waits, as in another process
        run_id = f"r{evict_after:g}"

        def make(evict_after: float = evict_after) -> Workflow:
            return Workflow(name="w", steps=PLACES[place], db=db, store_events=True, evict_after=evict_after)

        item = question(await make().arun("x", run_id=run_id))
        await anyio.wait_all_tasks_blocked()
        before = await rows(db, run_id)
        item.answer({"user_input": {"days": 1, "nights": 2}})
        item.input_model = "somewhere:Else"  # what a client says about it is not asked
        with pytest.raises(ValueError, match=r"nothing was changed:\n- .*more nights than days") as refused:
            await make().acontinue_run(run_id=run_id, step_requirements=[item])
        said.append(str(refused.value))
        assert await rows(db, run_id) == before
        item.answer({"user_input": {"days": 2, "nights": 1}})
        done = await make().acontinue_run(run_id=run_id, step_requirements=[item])
        assert done.status is RunStatus.completed
        assert "2" in str(done.content)
    assert said[0] == said[1]


async def test_a_step_with_a_form_may_ask_for_something_else_in_its_middle(db: BaseDb) -> None:
    async def body(run_context: RunContext) -> str:
        return f"{await run_context.ask('How many?', int)} people"

    def make() -> Workflow:
        step = Step(name="trip", executor=body, requires_user_input=True, user_input_schema=Trip)
        return Workflow(name="w", steps=[step], db=db, evict_after=0.0)

    output = await make().arun("x")
    for answer in ({"days": 2, "nights": 1}, {"value": 3}):
        await anyio.wait_all_tasks_blocked()
        item = question(output)
        item.answer({"user_input": answer})
        output = await make().acontinue_run(run_id=output.run_id, step_requirements=[item])
    assert output.content == "3 people"


async def changed_meanwhile(db: BaseDb, monkeypatch: pytest.MonkeyPatch, found: Any) -> str:
    """What comes of a bad answer when the model's name stands for ``found`` by then; the step catches its refusal."""

    async def careful(run_context: RunContext, model: Any = Trip) -> str:
        try:
            return str(await run_context.ask("When?", model))
        except ValueError as error:
            return f"the step was told: {error}"

    def make() -> Workflow:
        return Workflow(name="w", steps=[Step(name="trip", executor=careful)], db=db, evict_after=0.0)

    output = await make().arun("x")
    await anyio.wait_all_tasks_blocked()
    item = question(output)
    item.answer({"user_input": {"days": 1, "nights": 2}})
    monkeypatch.setattr(sys.modules[__name__], "Trip", found)
    return str((await make().acontinue_run(run_id=output.run_id, step_requirements=[item])).content)


@pytest.mark.parametrize("found", [Longer, Undescribed, Outer.Plain, asks, None])
async def test_a_name_that_stands_for_something_else_by_now_is_left_to_the_step(
    db: BaseDb, monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    told = await changed_meanwhile(db, monkeypatch, found)
    assert told.startswith("the step was told: 1 validation error for Trip")


async def test_a_question_that_an_older_version_stored_has_no_name_and_is_read(db: BaseDb) -> None:
    output = await Workflow(name="w", steps=PLACES["in a step"], db=db).arun("x", run_id="r")
    item = question(output)
    assert item.input_model == f"{__name__}:Trip"
    stored = codec.encode_requirement(item)
    older = stored.replace(f',"input_model":"{__name__}:Trip"'.encode(), b"")
    assert len(older) < len(stored)
    read = codec.decode_requirement(older)
    assert isinstance(read, StepRequirement)
    assert read.input_model is None
    read.input_model = item.input_model
    assert read == item


def test_a_model_has_a_name_where_another_process_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(BaseModel):
        n: int

    assert model_name(Trip) == f"{__name__}:Trip"
    assert model_name(Outer.Inner) == f"{__name__}:Outer.Inner"
    for nameless in (Local, Pair[int], int, None, [{"name": "n"}], Trip(days=1, nights=1), Outer.Plain):
        assert model_name(nameless) is None
    script = create_model("Script", __module__="__main__", n=(int, 0))
    monkeypatch.setattr(sys.modules["__main__"], "Script", script, raising=False)
    assert model_name(script) is None
    assert find_model("__main__:Script", script.model_json_schema()) is None


def test_a_name_in_the_database_imports_nothing_and_asks_no_module_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    described = Trip.model_json_schema()
    assert find_model(f"{__name__}:Trip", described) is Trip
    assert "this" not in sys.modules  # of the standard library: it prints when it is imported
    lazy = ModuleType("lazy")
    asked: list[str] = []
    monkeypatch.setattr(lazy, "__getattr__", asked.append, raising=False)
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    for name in (
        "this:Trip",
        "this:s",
        "lazy:Trip",
        "lazy:a.b",
        "sys:modules",
        ":",
        "",
        "Trip",
        f"{__name__}:",
        "os:path.join",
    ):
        assert find_model(name, described) is None
    assert find_model(f"{__name__}:Trip", None) is None
    assert asked == []
    assert "this" not in sys.modules
