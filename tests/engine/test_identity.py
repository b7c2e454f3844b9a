"""Steps of one name that a function calls in another order when it is entered again keep their own results. (D7)"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workflow_runtime import BaseDb, RunContext, RunStatus, StepChanged, StepInput, Workflow

pytestmark = pytest.mark.anyio


class Fetching:
    """Fetches each item by a step of one name, then asks: entered again, with ``items`` in the order they have then."""

    def __init__(self, db: BaseDb, items: list[Any]) -> None:
        self.items, self.fetched = items, []  # type: list[Any], list[Any]
        self.workflow = Workflow(name="w", id="w", steps=self.flow, db=db)

    async def fetch(self, step_input: StepInput, run_context: RunContext) -> str:
        drawn = await run_context.once(
            "draw", lambda: self.fetched.append(step_input.input) or f"draw of {step_input.input}"
        )
        return f"{drawn}, data of {step_input.input}"

    async def flow(self, run_context: RunContext) -> Any:
        async def one(item: Any) -> Any:
            return [item, await run_context.step("fetch", self.fetch, input=item)]

        found = await asyncio.gather(*map(one, self.items))
        await run_context.step("review", lambda: "fine", requires_confirmation=True)
        return sorted(found)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def again(db: BaseDb, before: list[Any], after: list[Any]) -> tuple[Fetching, Any]:
    paused = await Fetching(db, before).workflow.arun("x", run_id="r")
    paused.active_step_requirements[0].confirm()
    second = Fetching(db, after)
    return second, await second.workflow.acontinue_run(run_id="r", step_requirements=paused.active_step_requirements)


@pytest.mark.parametrize("order", ["abc", "cba", "bca", "cab"])
async def test_steps_of_one_name_keep_their_results_in_another_order(db: BaseDb, order: str) -> None:
    second, output = await again(db, list("abc"), list(order))
    assert output.status is RunStatus.completed
    assert output.content == [[item, f"draw of {item}, data of {item}"] for item in "abc"]
    assert second.fetched == []


async def test_equal_inputs_are_told_apart_by_their_order(db: BaseDb) -> None:
    second, output = await again(db, [1, 1, 2], [2, 1, 1])
    assert output.content == [[item, f"draw of {item}, data of {item}"] for item in (1, 1, 2)]
    assert second.fetched == []


async def test_an_input_that_was_not_there_before_fails_the_run(db: BaseDb) -> None:
    with pytest.raises(StepChanged, match="fetch: the function, entered again"):
        await again(db, list("ab"), list("xa"))


async def test_an_input_behind_the_known_ones_is_a_new_step(db: BaseDb) -> None:
    second, output = await again(db, list("ab"), list("bac"))
    assert output.content == [[item, f"draw of {item}, data of {item}"] for item in "abc"]
    assert second.fetched == ["c"]


async def test_the_marks_of_inputs_are_no_entries_of_the_history(db: BaseDb) -> None:
    second, _ = await again(db, list("ab"), list("ba"))
    paths = [entry.path for entry in await second.workflow.history("r")]
    assert sorted(paths) == ["fetch", "fetch!once:draw", "fetch#1", "fetch#1!once:draw", "review"]
