"""Prompts read with prompt_toolkit: checked, abandoned, edited, and never on the event loop's time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from workflow_runtime.console.person import Interrupted, Left
from workflow_runtime.console.prompts import Terminal

pytestmark = pytest.mark.anyio


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


def terminal(keys: PipeInput) -> Terminal:
    return Terminal(input=keys, output=DummyOutput())


async def test_a_line_is_read_with_its_default(keys: PipeInput) -> None:
    keys.send_text(" and more\r")
    assert await terminal(keys).line("what?", default="this") == "this and more"


async def test_a_refused_line_can_be_mended(keys: PipeInput) -> None:
    keys.send_text("three\r\x7f\x7f\x7f\x7f\x7f3\r")
    assert await terminal(keys).line("how many?", check=int) == "3"


async def test_ctrl_c_and_ctrl_d_are_told_apart(keys: PipeInput) -> None:
    keys.send_text("\x03")
    with pytest.raises(Interrupted):
        await terminal(keys).line("what?")
    keys.send_text("\x04")
    with pytest.raises(Left):
        await terminal(keys).line("what?")


async def test_the_loop_goes_on_while_a_person_thinks(keys: PipeInput) -> None:
    turns = 0
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def type_later() -> None:
                nonlocal turns
                while turns < 100:
                    turns += 1
                    await anyio.lowlevel.checkpoint()
                keys.send_text("done\r")

            tasks.start_soon(type_later)
            assert await terminal(keys).line("what?") == "done"
    assert turns == 100


async def test_a_prompt_that_nobody_waits_for_any_more_is_put_away(keys: PipeInput) -> None:
    with anyio.fail_after(60):
        with anyio.move_on_after(0.05) as gave_up:
            await terminal(keys).line("what?")
        assert gave_up.cancelled_caught
        keys.send_text("next\r")
        assert await terminal(keys).line("and now?") == "next"


async def test_a_text_is_edited_in_the_persons_editor(
    keys: PipeInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text().upper() + '\\n')")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    assert await terminal(keys).text("the text", "draft ✎", ".md") == "DRAFT ✎"


async def test_an_editor_that_fails_changes_nothing(keys: PipeInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", f"{sys.executable} -c exit(3)")
    with pytest.raises(ValueError, match="ended with 3"):
        await terminal(keys).text("the text", "draft", ".md")


async def test_without_an_editor_several_lines_are_typed(keys: PipeInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    keys.send_text(" one\rtwo\x1b\r")
    assert await terminal(keys).text("the text", "line", ".md") == "line one\ntwo"
