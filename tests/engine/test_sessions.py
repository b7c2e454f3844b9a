"""Concurrent runs of one session: nothing is lost, nothing is silent, and two users never meet. (D16)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from verbs import MODES, Verb, listen, names, of_kind

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStatus,
    SessionBusy,
    SessionNotFound,
    Step,
    StepInput,
    StorageError,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.storage.base import Batch, Committed, RunFilter


class Meeting:
    """Lets nobody go on before ``count`` have come, so that the runs really overlap."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.all_here = anyio.Event()

    async def join(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.all_here.set()
        await self.all_here.wait()


async def stored_runs(db: BaseDb, session_id: str) -> list[Any]:
    return await db.list_runs(RunFilter(session_id=session_id), limit=1000)


# -- merge ---------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_ten_concurrent_runs_that_each_add_a_key_leave_ten_runs_and_ten_keys(db: BaseDb) -> None:
    meeting = Meeting(10)

    async def add(step_input: StepInput, session_state: dict[str, Any]) -> None:
        await meeting.join()
        session_state[str(step_input.input)] = {"by": step_input.input}

    workflow = Workflow(steps=[add], db=db)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(lambda n=n: workflow.arun(f"key{n}", session_id="s"))
    assert await workflow.aget_session_state("s") == {f"key{n}": {"by": f"key{n}"} for n in range(10)}
    runs = await stored_runs(db, "s")
    assert len(runs) == 10
    assert {row.status for row in runs} == {RunStatus.completed}


@pytest.mark.anyio
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_any_number_of_runs_that_write_one_key_ends(db: BaseDb, durability: str) -> None:
    meeting = Meeting(30)

    async def put(step_input: StepInput, session_state: dict[str, Any]) -> None:
        await meeting.join()
        session_state["last"] = step_input.input

    workflow = Workflow(steps=[put], db=db, durability=durability)
    outputs: list[Any] = []

    async def one(number: int) -> None:
        outputs.append(await workflow.arun(f"v{number}", session_id="s"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(one, number)
    assert {output.status for output in outputs} == {RunStatus.completed}
    assert len(await stored_runs(db, "s")) == 30


@pytest.mark.anyio
async def test_two_hundred_concurrent_edits_count_to_two_hundred(db: BaseDb) -> None:
    meeting = Meeting(200)

    async def increment(run_context: RunContext) -> int:
        await meeting.join()
        async with run_context.edit_state() as state:
            seen = state.get("n", 0)
            await anyio.lowlevel.checkpoint()  # others get a chance between the read and the write
            state["n"] = seen + 1
        return int(state["n"])

    workflow = Workflow(steps=[increment], db=db)
    outputs: list[Any] = []

    async def one() -> None:
        outputs.append((await workflow.arun(session_id="s")).content)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(one)
    assert (await workflow.aget_session_state("s"))["n"] == 200
    assert sorted(outputs) == list(range(1, 201)), "each edit saw the one before it"


@pytest.mark.anyio
async def test_edits_of_the_branches_of_one_run_are_serialised_too() -> None:
    async def increment(run_context: RunContext) -> None:
        async with run_context.edit_state() as state:
            seen = state.get("n", 0)
            await anyio.lowlevel.checkpoint()
            state["n"] = seen + 1

    branches = [Step(name=f"b{n}", executor=increment) for n in range(20)]
    output = await Workflow(steps=[Parallel(*branches)]).arun()
    assert output.session_state == {"n": 20}


@pytest.mark.anyio
async def test_an_edit_is_stored_though_its_step_fails_later(db: BaseDb) -> None:
    async def edit_and_fail(run_context: RunContext) -> None:
        async with run_context.edit_state() as state:
            state["spent"] = 3
        raise ValueError("after the edit")

    workflow = Workflow(steps=[edit_and_fail], db=db)
    with pytest.raises(ValueError, match="after the edit"):
        await workflow.arun(session_id="s")
    assert await workflow.aget_session_state("s") == {"spent": 3}


@pytest.mark.anyio
async def test_two_runs_that_change_one_key_leave_the_later_value_and_a_conflict_event_with_both(db: BaseDb) -> None:
    early_done, late_started = anyio.Event(), anyio.Event()

    async def change(step_input: StepInput, session_state: dict[str, Any]) -> None:
        if step_input.input == "late":
            late_started.set()
            await early_done.wait()
        else:
            await late_started.wait()
        session_state["k"] = {"from": step_input.input}

    workflow = Workflow(steps=[change], db=db, store_events=True)

    async def early() -> None:
        output = await workflow.arun("early", session_id="s")
        assert "SessionStateConflict" not in names(output.events or ())
        early_done.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(early)
            late = await workflow.arun("late", session_id="s")
    (conflict,) = of_kind(late.events or (), "SessionStateConflict")
    assert (conflict.key, conflict.ours, conflict.theirs) == ("k", {"from": "late"}, {"from": "early"})
    assert await workflow.aget_session_state("s") == {"k": {"from": "late"}}
    stored = await workflow.aget_run_output(str(late.run_id))
    assert stored is not None
    assert names(stored.events or ()) == names(late.events or ())


@pytest.mark.anyio
async def test_two_runs_that_change_one_key_say_so_also_when_the_values_are_equal(db: BaseDb) -> None:
    meeting = Meeting(2)
    outputs = []

    async def add_one(session_state: dict[str, Any]) -> None:
        value = session_state.get("n", 0)
        await meeting.join()
        session_state["n"] = value + 1

    workflow = Workflow(steps=[add_one], db=db, store_events=True)

    async def one() -> None:
        outputs.append(await workflow.arun(session_id="s"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
    (event,) = [event for output in outputs for event in of_kind(output.events or (), "SessionStateConflict")]
    assert (event.key, event.ours, event.theirs) == ("n", 1, 1)
    assert await workflow.aget_session_state("s") == {"n": 1}


class LosesAnAnswer(InMemoryDb):
    """Stores the first commit with session state and without the run's row, and says that it could not."""

    lost = False

    async def commit(self, batch: Batch) -> Committed:
        done = await super().commit(batch)
        if batch.session is not None and batch.session.state and batch.run is None and not self.lost:
            self.lost = True
            raise StorageError("the answer was lost")
        return done


@pytest.mark.anyio
async def test_a_commit_whose_answer_was_lost_is_no_conflict_with_itself() -> None:
    async def change(session_state: dict[str, Any]) -> None:
        session_state["k"] = session_state.get("k", 0) + 1

    db = LosesAnAnswer()
    workflow = Workflow(
        steps=[Step("one", executor=change), Step("two", executor=change)], db=db, store_events=True, durability="sync"
    )
    with pytest.raises(StorageError, match="the answer was lost"):
        await workflow.arun(session_id="s", run_id="r")
    output = await workflow.aget_run_output("r")
    assert output is not None
    assert db.lost
    assert not of_kind(output.events or (), "SessionStateConflict")
    assert await workflow.aget_session_state("s") == {"k": 2}


@pytest.mark.anyio
async def test_a_deleted_key_is_deleted_in_the_session_and_others_keys_stay(db: BaseDb) -> None:
    async def write(session_state: dict[str, Any]) -> None:
        session_state.update(a=1, b=2)

    async def delete(session_state: dict[str, Any]) -> None:
        del session_state["a"]

    await Workflow(steps=[write], db=db).arun(session_id="s")
    workflow = Workflow(steps=[delete], db=db)
    await workflow.arun(session_id="s")
    assert await workflow.aget_session_state("s") == {"b": 2}


@pytest.mark.anyio
async def test_the_branches_of_a_parallel_share_the_live_state() -> None:
    written = anyio.Event()

    async def write(session_state: dict[str, Any]) -> None:
        session_state["token"] = 7
        written.set()

    async def read(session_state: dict[str, Any]) -> Any:
        await written.wait()
        return session_state["token"]

    output = await Workflow(steps=[Parallel(write, read)]).arun()
    assert [inner.content for inner in output.step_results[0].steps or ()] == [None, 7]


# -- users ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_second_user_of_a_session_gets_an_error_and_nothing_is_read_or_lost(verb: Verb, mode: str) -> None:
    seen: list[Any] = []

    async def look(session_state: dict[str, Any]) -> None:
        seen.append(dict(session_state))
        session_state["secret"] = "ada's"

    db = verb.database()
    workflow = Workflow(name="w", steps=[look], db=db, store_events=True)
    verb.one("arun", workflow, session_id="s", user_id="ada")
    options = {"session_id": "s", "user_id": "bob", "run_id": "intruder"}

    async def intrude() -> None:
        if mode == "background":
            await workflow.arun(background=True, **options)
        elif mode == "arun-stream":
            await workflow.arun(stream=True, **options).result()
        else:
            await workflow.arun(**options)

    started: dict[str, Callable[[], Any]] = {
        "run": lambda: workflow.run(**options),
        "run-stream": lambda: workflow.run(stream=True, **options).result(),
    }
    with pytest.raises(PermissionError, match="belongs to another user"):
        started.get(mode, lambda: verb.on_a_loop(intrude))()
    assert seen == [{}], "the second user's step did not run"

    async def check() -> None:
        assert await workflow.aget_session_state("s") == {"secret": "ada's"}
        assert len(await stored_runs(db, "s")) == 1
        assert await db.load_run("intruder") is None

    verb.on_a_loop(check)


@pytest.mark.anyio
async def test_of_two_users_who_open_one_new_session_at_once_the_later_gets_an_error(db: BaseDb) -> None:
    meeting = Meeting(2)
    errors: list[str] = []

    async def write(step_input: StepInput, session_state: dict[str, Any]) -> None:
        await meeting.join()
        session_state[str(step_input.input)] = True

    workflow = Workflow(steps=[write], db=db)

    async def one(user: str) -> None:
        try:
            await workflow.arun(user, session_id="s", user_id=user)
        except PermissionError:
            errors.append(user)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(one, "ada")
            group.start_soon(one, "bob")
    assert len(errors) == 1
    (owner,) = {"ada", "bob"} - set(errors)
    assert await workflow.aget_session_state("s") == {owner: True}
    row = await db.load_session("s")
    assert row is not None
    assert row.user_id == owner


@pytest.mark.anyio
async def test_the_session_verbs_refuse_another_user(db: BaseDb) -> None:
    workflow = Workflow(steps=[lambda step_input: "x"], db=db)
    output = await workflow.arun(session_id="s", user_id="ada")
    with pytest.raises(PermissionError):
        await workflow.aget_session("s", user_id="bob")
    with pytest.raises(PermissionError):
        await workflow.aget_run_output(str(output.run_id), user_id="bob")
    with pytest.raises(PermissionError):
        await workflow.adelete_session("s", user_id="bob")
    assert await workflow.aget_session("s", user_id="ada") is not None


@pytest.mark.anyio
async def test_calls_without_a_session_share_one_per_user_and_workflow_object(db: BaseDb) -> None:
    def make() -> Workflow:
        return Workflow(name="w", steps=[lambda step_input: step_input.input], db=db)

    workflow = make()
    first = await workflow.arun("1", user_id="ada")
    second = await workflow.arun("2", user_id="ada")
    other = await workflow.arun("3", user_id="bob")
    nobody = await workflow.arun("4")
    elsewhere = await make().arun("5", user_id="ada")
    assert first.session_id == second.session_id
    assert len({run.session_id for run in (first, other, nobody, elsewhere)}) == 4
    last = await workflow.aget_last_run_output(user_id="ada")
    assert last is not None
    assert last.content == "2"
    last = await workflow.aget_last_run_output()
    assert last is not None
    assert last.content == "4"


@pytest.mark.anyio
async def test_the_workflows_own_session_and_user_are_the_default(db: BaseDb) -> None:
    workflow = Workflow(steps=[lambda step_input: "x"], db=db, session_id="mine", user_id="ada")
    output = await workflow.arun()
    assert (output.session_id, output.user_id) == ("mine", "ada")
    output = await workflow.arun(session_id="other", user_id="bob")
    assert (output.session_id, output.user_id) == ("other", "bob")
    assert (workflow.session_id, workflow.user_id) == ("mine", "ada"), "a call leaves nothing on the object"


# -- policies ------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_queue_runs_one_at_a_time_in_the_order_they_came(db: BaseDb) -> None:
    running, most, order = 0, 0, []

    async def work(step_input: StepInput, session_state: dict[str, Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        session_state["n"] = session_state.get("n", 0) + 1
        order.append(step_input.input)
        running -= 1

    workflow = Workflow(steps=[work], db=db, session_policy="queue")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(lambda n=n: workflow.arun(n, session_id="s"))
                for _ in range(10):  # behind what it reads itself: it is in the queue before the next comes
                    await db.load_session("s")
                    await anyio.lowlevel.checkpoint()
            group.start_soon(lambda: workflow.arun("other", session_id="t"))
    assert most <= 2, "the other session need not wait"
    assert [item for item in order if item != "other"] == [0, 1, 2, 3, 4]


@pytest.mark.anyio
async def test_a_queued_run_sees_the_state_that_the_run_before_it_left(db: BaseDb) -> None:
    async def add(session_state: dict[str, Any]) -> int:
        session_state["n"] = session_state.get("n", 0) + 1
        await anyio.lowlevel.checkpoint()
        return int(session_state["n"])

    workflow = Workflow(steps=[add], db=db, session_policy="queue")
    outputs: list[Any] = []

    async def one() -> None:
        outputs.append((await workflow.arun(session_id="s")).content)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
    assert sorted(outputs) == [1, 2, 3, 4, 5]
    assert await workflow.aget_session_state("s") == {"n": 5}


@pytest.mark.anyio
async def test_a_paused_run_does_not_block_the_queue(db: BaseDb) -> None:
    workflow = Workflow(
        steps=[Step(name="ask", executor=lambda step_input: "x", requires_confirmation=True)],
        db=db,
        session_policy="queue",
    )
    with anyio.fail_after(60):
        first = await workflow.arun(session_id="s")
        second = await workflow.arun(session_id="s")
        assert first.is_paused
        assert second.is_paused
        requirement = first.steps_requiring_confirmation[0]
        requirement.confirm()
        done = await workflow.acontinue_run(first)
    assert done.status is RunStatus.completed


@pytest.mark.anyio
async def test_reject_refuses_a_second_run_while_the_first_is_going(db: BaseDb) -> None:
    go, started = anyio.Event(), anyio.Event()

    async def wait(step_input: StepInput) -> None:
        started.set()
        await go.wait()

    workflow = Workflow(steps=[wait], db=db, session_policy="reject")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun(session_id="s"))
            await started.wait()
            with pytest.raises(SessionBusy, match="busy"):
                await workflow.arun(session_id="s", run_id="second")
            go.set()
    assert await db.load_run("second") is None
    assert (await workflow.arun(session_id="s")).status is RunStatus.completed


@pytest.mark.anyio
@pytest.mark.parametrize("policy", ["reject", "queue"])
async def test_a_background_run_that_has_not_begun_stands_before_the_call_that_comes_next(
    db: BaseDb, policy: str
) -> None:
    order: list[Any] = []

    async def note(step_input: StepInput) -> None:
        order.append(step_input.input)

    workflow = Workflow(steps=[note], db=db, session_policy=policy)
    with anyio.fail_after(60):
        first = await workflow.arun("first", session_id="s", background=True)
        if policy == "reject":
            with pytest.raises(SessionBusy, match=str(first.run_id)):
                await workflow.arun("second", session_id="s")
        else:
            await workflow.arun("second", session_id="s")
        async for _ in workflow.subscribe(str(first.run_id)):
            pass
    assert order == (["first"] if policy == "reject" else ["first", "second"])


@pytest.mark.anyio
async def test_of_runs_that_come_at_once_reject_lets_one_begin(db: BaseDb) -> None:
    ended: list[str] = []

    async def work(step_input: StepInput) -> None:
        await anyio.wait_all_tasks_blocked()

    workflow = Workflow(steps=[work], db=db, session_policy="reject")

    async def call() -> None:
        try:
            ended.append((await workflow.arun(session_id="s")).status.value)
        except SessionBusy:
            ended.append("busy")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
    assert sorted(ended) == ["COMPLETED", "busy", "busy", "busy", "busy"]


@pytest.mark.anyio
async def test_interrupt_also_ends_those_that_still_wait_and_the_newest_goes_on(db: BaseDb) -> None:
    async def work(step_input: StepInput) -> Any:
        if step_input.input != "newest":
            await anyio.sleep_forever()
        return step_input.input

    workflow = Workflow(steps=[work], db=db, session_policy="interrupt")
    with anyio.fail_after(60):
        older = [await workflow.arun("older", session_id="s", background=True) for _ in range(3)]
        newest = await workflow.arun("newest", session_id="s")
        assert newest.content == "newest"
        for run in older:
            async for _ in workflow.subscribe(str(run.run_id)):
                pass
            found = await workflow.aget_run(str(run.run_id))
            assert found is not None
            assert found.status is RunStatus.cancelled


@pytest.mark.anyio
async def test_interrupt_cancels_the_running_one_and_goes_on(db: BaseDb) -> None:
    started = anyio.Event()
    first: list[Any] = []

    async def work(step_input: StepInput) -> Any:
        if step_input.input == "first":
            started.set()
            await anyio.sleep_forever()
        return step_input.input

    workflow = Workflow(steps=[work], db=db, session_policy="interrupt", store_events=True)

    async def run_first() -> None:
        first.append(await workflow.arun("first", session_id="s"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(run_first)
            await started.wait()
            second = await workflow.arun("second", session_id="s", run_id="newer")
    assert second.content == "second"
    assert first[0].status is RunStatus.cancelled
    assert first[0].events[-1].reason == "interrupted by run newer"
    stored = await workflow.aget_run_output(str(first[0].run_id))
    assert stored is not None
    assert stored.status is RunStatus.cancelled


@pytest.mark.anyio
async def test_a_run_that_waits_for_its_turn_can_be_cancelled_before_it_begins(db: BaseDb) -> None:
    go, started = anyio.Event(), anyio.Event()
    ran: list[Any] = []

    async def wait(step_input: StepInput) -> None:
        ran.append(step_input.input)
        started.set()
        await go.wait()

    workflow = Workflow(steps=[wait], db=db, session_policy="queue", store_events=True)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun("first", session_id="s"))
            await started.wait()
            stream = workflow.arun("second", session_id="s", run_id="second", background=True, stream=True)
            async with stream:
                assert await workflow.acancel_run("second")
                output = await stream.result()
            go.set()
    assert (output.status, ran) == (RunStatus.cancelled, ["first"])
    stored = await workflow.aget_run_output("second")
    assert stored is not None
    assert names(stored.events or ()) == ["WorkflowCancelled"]


@pytest.mark.anyio
async def test_a_background_run_that_is_rejected_is_stored_as_failed(db: BaseDb) -> None:
    go, started = anyio.Event(), anyio.Event()

    async def wait(step_input: StepInput) -> None:
        started.set()
        await go.wait()

    workflow = Workflow(steps=[wait], db=db, session_policy="reject")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun(session_id="s"))
            await started.wait()
            await workflow.arun(session_id="s", run_id="second", background=True)
            async for _ in workflow.subscribe("second"):
                pass
            go.set()
    stored = await workflow.aget_run_output("second")
    assert stored is not None
    assert (stored.status, stored.error_type) == (RunStatus.error, "SessionBusy")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_interrupt_reaches_a_run_that_another_process_executes(tmp_path: Path) -> None:
    # Two database objects on one file stand for two processes: they share nothing but the file.
    here, there = SqliteDb(tmp_path / "runs.db"), SqliteDb(tmp_path / "runs.db")
    started = anyio.Event()
    first: list[Any] = []

    async def work(step_input: StepInput) -> Any:
        if step_input.input == "first":
            started.set()
            await anyio.sleep_forever()
        return step_input.input

    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[work], db=db, session_policy="interrupt", durability="sync")

    async def run_first() -> None:
        first.append(await make(there).arun("first", session_id="s"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(run_first)
            await started.wait()
            second = await make(here).arun("second", session_id="s")
    assert (second.content, first[0].status) == ("second", RunStatus.cancelled)
    await here.aclose()
    await there.aclose()


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="merge, queue, reject, interrupt"):
        Workflow(steps=[], session_policy="fifo")


# -- what is in a session ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_nothing_but_the_users_keys_is_in_the_state_and_none_is_taken_out(db: BaseDb) -> None:
    mine = {"run_id": 1, "session_id": 2, "workflow_name": 3, "current_user_id": 4}
    seen: list[Any] = []

    async def look(session_state: dict[str, Any]) -> None:
        seen.append(dict(session_state))

    workflow = Workflow(name="w", steps=[look], db=db)
    output = await workflow.arun(session_state=mine, session_id="s", user_id="ada")
    assert seen == [mine]
    assert output.session_state == mine
    assert await workflow.aget_session_state("s") == mine


@pytest.mark.anyio
async def test_metadata_of_a_session_never_reaches_another_session(db: BaseDb) -> None:
    workflow = Workflow(steps=[lambda step_input: "x"], db=db, metadata={"team": "a"})
    await workflow.arun(session_id="one")
    session = await workflow.aget_session("one")
    assert session is not None
    session.metadata = {**(session.metadata or {}), "private": "one's"}
    await workflow.asave_session(session)
    await workflow.arun(session_id="one")
    await workflow.arun(session_id="two")
    one, two = await workflow.aget_session("one"), await workflow.aget_session("two")
    assert one is not None
    assert two is not None
    assert one.metadata == {"team": "a", "private": "one's"}
    assert two.metadata == {"team": "a"}
    assert workflow.metadata == {"team": "a"}


@pytest.mark.anyio
async def test_the_state_of_a_failed_run_is_kept(db: BaseDb) -> None:
    async def write(session_state: dict[str, Any]) -> None:
        session_state["done"] = 1

    async def fail(session_state: dict[str, Any]) -> None:
        session_state["half"] = 2
        raise ValueError("no")

    workflow = Workflow(steps=[write, fail], db=db)
    _, error = await listen(workflow.arun(session_id="s", stream=True))
    assert isinstance(error, ValueError)
    assert await workflow.aget_session_state("s") == {"done": 1, "half": 2}


@pytest.mark.anyio
async def test_an_unknown_session_is_not_found(db: BaseDb) -> None:
    workflow = Workflow(steps=[], db=db)
    for read in (workflow.aget_session_state, workflow.aget_session_name, workflow.aget_session_metrics):
        with pytest.raises(SessionNotFound, match="nowhere"):
            await read("nowhere")
        with pytest.raises(KeyError):
            await read("nowhere")


@pytest.mark.anyio
async def test_a_state_key_that_is_no_text_fails_the_run_and_names_the_key(db: BaseDb) -> None:
    async def write(session_state: dict[Any, Any]) -> None:
        session_state[7] = "seven"

    workflow = Workflow(steps=[write], db=db)
    with pytest.raises(TypeError, match="keys are strings; got 7"):
        await workflow.arun(session_id="s", run_id="r")


def test_sync_runs_of_several_threads_share_a_session_without_loss(sqlite: SqliteDb) -> None:
    import threading

    barrier = threading.Barrier(5)

    def add(step_input: StepInput, session_state: dict[str, Any]) -> None:
        barrier.wait(60)
        session_state[str(step_input.input)] = True

    workflow = Workflow(steps=[add], db=sqlite)
    threads = [threading.Thread(target=workflow.run, args=(f"t{n}",), kwargs={"session_id": "s"}) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert workflow.get_session_state("s") == {f"t{n}": True for n in range(5)}


@pytest.mark.anyio
async def test_a_run_reads_and_writes_its_session_once_not_once_per_run_of_it() -> None:
    db = InMemoryDb()
    workflow = Workflow(steps=[lambda step_input: "x" * 100], db=db)
    sizes = []
    for _ in range(30):
        await workflow.arun("y", session_id="s")
        row = await db.load_session("s")
        assert row is not None
        sizes.append(len(repr(row)))
    assert sizes[-1] <= sizes[1] + 50, "a session row does not grow with its runs"


@pytest.mark.parametrize("policy", ["queue", "reject", "interrupt"])
def test_a_run_that_its_loop_left_behind_keeps_no_later_loop_from_the_session(sqlite: BaseDb, policy: str) -> None:
    workflow = Workflow(steps=[lambda step_input: step_input.input], db=sqlite, session_policy=policy)

    async def leave_at_once() -> None:
        await workflow.arun("left", session_id="s", background=True)

    async def go_on() -> Any:
        with anyio.fail_after(60):
            return (await workflow.arun("next", session_id="s")).content

    anyio.run(leave_at_once)
    assert anyio.run(go_on) == "next"
