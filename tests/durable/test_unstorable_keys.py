"""A key or an id that some database could not hold is refused, on every database the same way, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    BuildError,
    InputError,
    RunContext,
    RunStatus,
    Step,
    UnserializableError,
    Workflow,
)
from workflow_runtime.storage.base import RunFilter

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]
ODD = {"NUL": "a\0b", "half a character": "a\ud800", "long": "ä" * 5000}
HOLDS = {
    "NUL": "holds a NUL character",
    "half a character": "holds half a character",
    "long": r"is 10,0\d\d bytes long",
}


def counting(db: BaseDb | None, ran: list[str]) -> Workflow:
    return Workflow(id="w", steps=[Step("work", executor=lambda: ran.append("work"))], db=db)


async def _call(workflow: Workflow, verb: str, **options: Any) -> Any:
    call: Any = workflow.arun
    found = call("x", stream=verb == "stream", background=verb == "background", **options)
    return await (found.result() if verb == "stream" else found)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("where", ["run_id", "session_id", "user_id"])
@pytest.mark.parametrize("verb", ["arun", "stream", "background"])
async def test_an_id_of_a_call_is_refused(again: Again, verb: str, where: str, odd: str) -> None:
    ran: list[str] = []
    db = again()
    for workflow in (counting(db, ran), counting(None, ran)):
        with pytest.raises(InputError, match=f"{where}=.* {HOLDS[odd]}"):
            await _call(workflow, verb, **{where: ODD[odd]})
    assert ran == []
    assert await db.list_runs(RunFilter()) == []


@pytest.mark.parametrize("odd", ODD)
async def test_a_key_of_the_session_state_is_refused(again: Again, odd: str) -> None:
    ran: list[str] = []
    workflow = counting(again(), ran)
    with pytest.raises(InputError, match=f"the key .* of session_state {HOLDS[odd]}"):
        await workflow.arun("x", session_state={ODD[odd]: 1})
    with pytest.raises(BuildError, match=f"the key .* of session_state {HOLDS[odd]}"):
        Workflow(steps=[lambda: "x"], session_state={ODD[odd]: 1})
    await workflow.arun("x", session_id="s")
    with pytest.raises(InputError, match=f"the key .* of updates {HOLDS[odd]}"):
        await workflow.aupdate_session_state({ODD[odd]: 1}, session_id="s")
    with pytest.raises(InputError, match=f"session_name=.* {HOLDS[odd]}"):
        await workflow.aset_session_name("s", session_name=ODD[odd])
    assert ran == ["work"]


@pytest.mark.parametrize("where", ["metadata", "additional_data", "dependencies", "session_state"])
async def test_keys_inside_are_json_and_must_be_whole_characters(again: Again, where: str) -> None:
    ran: list[str] = []
    workflow = counting(again(), ran)
    with pytest.raises(InputError, match=f"the key .* of {where} holds half a character"):
        await workflow.arun("x", **{where: {"a": [{"b\ud800": 1}]}})
    assert ran == []
    output = await workflow.arun("x", **{where: {"a": [{"b\0c": "d\0"}]}})
    assert output.status is RunStatus.completed


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_key_that_a_step_sets_fails_the_step_and_the_run_ends(again: Again, odd: str, durability: str) -> None:
    ran: list[str] = []

    async def work(run_context: RunContext) -> None:
        ran.append("work")
        run_context.session_state[ODD[odd]] = 1

    workflow = Workflow(id="w", steps=[Step("work", executor=work)], db=again(), durability=durability)
    with pytest.raises(UnserializableError, match=f"0.work: the key .* of session_state {HOLDS[odd]}"):
        await workflow.arun("x", run_id="r", session_id="s")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert await workflow.recover() == []
    assert ran == ["work"]
    assert (await counting(again(), ran).arun("x", session_id="s")).status is RunStatus.completed


@pytest.mark.parametrize("odd", ODD)
async def test_a_key_of_once_fails_the_step(again: Again, odd: str) -> None:
    async def work(run_context: RunContext) -> None:
        await run_context.once(ODD[odd], lambda: 1)

    workflow = Workflow(id="w", steps=[Step("work", executor=work)], db=again())
    with pytest.raises(UnserializableError, match=HOLDS[odd]):
        await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.error


@pytest.mark.parametrize("odd", ODD)
def test_names_and_ids_of_a_workflow_are_refused_when_it_is_built(odd: str) -> None:
    for options in ({"id": ODD[odd]}, {"name": ODD[odd]}, {"session_id": ODD[odd]}, {"user_id": ODD[odd]}):
        with pytest.raises(BuildError, match=HOLDS[odd]):
            Workflow(steps=[lambda: "x"], **options)
    with pytest.raises(BuildError, match=HOLDS[odd]):
        Step(ODD[odd], executor=lambda: "x")
