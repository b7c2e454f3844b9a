"""A conversation: one session, commands, pauses, and Ctrl-C that ends a run and not the chat."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from workflow_runtime import BaseDb, Step, StepInput, Workflow
from workflow_runtime.console.app import Chat

from .people import Interrupted, Left, Person
from .streams import recording

pytestmark = pytest.mark.anyio


async def count(step_input: StepInput, session_state: dict[str, Any]) -> str:
    session_state["said"] = session_state.get("said", 0) + 1
    return f"{step_input.input}: number {session_state['said']}"


async def talk(workflow: Workflow, *lines: str | Exception, **options: Any) -> str:
    """Everything that was drawn in a conversation of these lines."""
    console: Console = options.pop("console", None) or recording(80)
    with anyio.fail_after(60):
        await Chat(workflow, console=console, prompter=Person(*lines), **options).run()
    return console.export_text()


def counting(db: BaseDb | None = None, **guards: Any) -> Workflow:
    return Workflow(name="Count", steps=[Step(name="count", executor=count, **guards)], db=db)


@pytest.mark.parametrize("last", ["exit", "quit", "bye", "stop", "/exit", "/quit", Left()])
async def test_words_commands_and_ctrl_d_leave(last: str | Exception) -> None:
    drawn = await talk(counting(), "", last)
    assert "🧑‍💻 User" in drawn
    assert "Completed" not in drawn


async def test_own_words_and_an_own_name_are_heeded() -> None:
    drawn = await talk(counting(), "exit", "enough", exit_on=["enough"], user="Ada [b]", emoji=":cat:")
    assert "exit: number 1" in drawn
    assert "🐱 Ada [b]" in drawn


async def test_all_runs_of_a_chat_share_its_session(db: BaseDb) -> None:
    drawn = await talk(counting(db), "one", "/state", "two", "/history", Left(), session_id="s1")
    assert "two: number 2" in drawn
    assert '"said": 1' in drawn
    assert drawn.rindex("one: number 1") < drawn.rindex("two: number 2")
    assert [said.input for said in await counting(db).aget_chat_history("s1")] == ["one", "two"]


async def test_the_first_input_is_run_before_anything_is_asked() -> None:
    drawn = await talk(counting(), Left(), input="hello")
    assert drawn.index("hello: number 1") < drawn.index("User")


async def test_a_failed_run_is_shown_and_the_chat_goes_on() -> None:
    async def sometimes(step_input: StepInput) -> str:
        if step_input.input == "bad":
            raise ValueError("no [good]")
        return "fine"

    drawn = await talk(Workflow(name="W", steps=[sometimes]), "bad", "good", Left())
    assert "ValueError: no [good]" in drawn
    assert "fine" in drawn


async def test_what_is_said_wrongly_to_the_workflow_is_told_and_the_chat_goes_on() -> None:
    drawn = await talk(counting(), "hi", "bye", nonsense=3)
    assert "TypeError" in drawn


async def test_commands_are_listed_and_a_slip_is_mended() -> None:
    drawn = await talk(counting(), "/help", "/histroy", "/hist", "/state", "/runs", Left())
    assert "/export [FILE]" in drawn
    assert "did you mean /history?" in drawn
    assert "this session has no messages yet" in drawn
    assert "no runs yet" in drawn


async def test_two_slashes_say_a_line_that_begins_with_one() -> None:
    assert "/help: number 1" in await talk(counting(), "//help", Left())


async def test_a_paused_run_can_be_left_and_resumed_later(db: BaseDb) -> None:
    drawn = await talk(
        counting(db, requires_confirmation=True), "hi", Left(), "/runs", "/resume", "y", "/resume", Left()
    )
    assert "/resume answers it here" in drawn
    assert "PAUSED" in drawn
    assert "hi: number 1" in drawn
    assert "no run waits for you" in drawn


async def test_a_paused_run_can_be_dropped(db: BaseDb) -> None:
    workflow = counting(db, requires_confirmation=True)
    drawn = await talk(workflow, "hi", Left(), "/cancel", "/cancel", Left(), session_id="s1")
    assert "is cancelled" in drawn
    assert "no run that could be cancelled" in drawn


async def test_the_session_is_exported_and_no_file_is_overwritten(tmp_path: Path) -> None:
    text, data = tmp_path / "chat.md", tmp_path / "chat.json"
    drawn = await talk(counting(), "hi", f"/export {text}", f"/export {text}", f"/export {data}", Left())
    assert "## User\n\nhi\n\n## Count\n\nhi: number 1" in text.read_text()
    assert json.loads(data.read_text())["exchanges"] == [{"input": "hi", "output": "hi: number 1"}]
    assert "is there already" in drawn.replace("\n", "")


async def test_the_graph_is_drawn() -> None:
    assert "│ count │" in await talk(counting(), "/graph", Left())


async def test_interrupting_cancels_the_run_and_not_the_chat() -> None:
    started = anyio.Event()

    async def forever(step_input: StepInput) -> AsyncIterator[str]:
        yield "so"
        started.set()
        await anyio.sleep_forever()

    console = recording(80)
    chat = Chat(Workflow(name="W", steps=[forever]), console=console, prompter=Person("hi", "/runs", Left()))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chat.run)
            await started.wait()
            await anyio.to_thread.run_sync(chat.interrupt)
    drawn = console.export_text()
    assert "■ forever  cancelled" in drawn
    assert drawn.rindex("User") > drawn.index("Cancelled")


async def test_interrupting_at_the_prompt_changes_nothing() -> None:
    drawn = await talk(counting(), Interrupted(), "hi", Left())
    assert "Ctrl-D leaves" in drawn
    assert "hi: number 1" in drawn


def test_ctrl_c_in_the_main_thread_reaches_the_run_of_the_sync_twin() -> None:
    interrupted: list[str] = []

    async def forever(step_input: StepInput) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            interrupted.append(threading.current_thread().name)

    before = signal.getsignal(signal.SIGINT)
    console = recording(80)
    Workflow(name="W", steps=[forever]).cli_app("hi", console=console, prompter=Person(Left()))
    assert interrupted == ["workflow_runtime portal"]
    assert "Cancelled" in console.export_text()
    assert signal.getsignal(signal.SIGINT) is before
