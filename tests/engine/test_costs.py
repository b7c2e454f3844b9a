"""What a run makes the event loop do, in counts and not in times: the price list of D14."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import BaseDb, InMemoryDb, Parallel, Step, StepInput, Workflow
from workflow_runtime.backends import SqliteDb


async def same(step_input: StepInput) -> Any:
    return step_input.input


class Tasks:
    """The tasks that a loop was asked for, by name."""

    def __init__(self) -> None:
        self._made: list[asyncio.Task[Any]] = []

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> Any:
        self._made.append(asyncio.Task(work, loop=loop, **options))
        return self._made[-1]

    @property
    def names(self) -> list[str]:
        return [task.get_name() for task in self._made]  # the loop gives a task its name after it is made


def started(workflow: Workflow, runs: int) -> list[str]:
    """The tasks that ``runs`` awaited runs start beside their caller's."""
    tasks = Tasks()

    async def main() -> None:
        await workflow.arun("to open what is opened once")
        asyncio.get_running_loop().set_task_factory(tasks)
        for number in range(runs):
            output = await workflow.arun(number, session_id=f"s{number}")
            assert output.content == number
        asyncio.get_running_loop().set_task_factory(None)

    asyncio.run(main())
    return tasks.names


@pytest.fixture(params=["nothing", "memory", "sqlite"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseDb | None]:
    makers: dict[str, Any] = {
        "nothing": lambda: None,
        "memory": InMemoryDb,
        "sqlite": lambda: SqliteDb(tmp_path / "runs.db"),
    }
    db: BaseDb | None = makers[request.param]()
    yield db
    if db is not None:
        asyncio.run(db.aclose())


@pytest.mark.parametrize("durability", ["async", "sync", "exit"])
def test_an_awaited_run_starts_no_task(keeper: BaseDb | None, durability: Any) -> None:
    steps = [Step(f"step{number}", executor=same) for number in range(5)]
    workflow = Workflow(name="costs", steps=steps, db=keeper, durability=durability, store_events=keeper is not None)
    names = started(workflow, 10)
    assert [name for name in names if "heartbeat" not in name] == [], "the heart beats beside runs that take longer"


def test_a_parallel_starts_a_task_for_each_branch_and_no_other() -> None:
    branches = Parallel(*(Step(f"branch{number}", executor=same) for number in range(7)), name="all")
    last = Step("last", executor=lambda step_input: step_input.input, offload=False)
    assert len(started(Workflow(name="costs", steps=[branches, last]), 3)) == 21


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_ended_leaves_nothing_for_the_garbage_collector(
    keeper: BaseDb | None, stream: bool, branches: bool
) -> None:
    steps = [Step("one", executor=same), Step("two", executor=same)]
    workflow = Workflow(name="costs", steps=[Parallel(*steps)] if branches else steps, db=keeper)

    async def some(count: int) -> None:
        for number in range(count):
            if stream:
                async for _ in workflow.arun(number, stream=True, stream_events=True):
                    pass
            else:
                await workflow.arun(number)

    async def main() -> int:
        await some(3)
        gc.collect()
        gc.disable()
        try:
            found = []
            for _ in range(2):  # databases of earlier tests may be released in one of the rounds
                await some(50)
                found.append(gc.collect())
            return min(found)
        finally:
            gc.enable()

    assert asyncio.run(main()) < 50, "an object that leads to itself in each run"
