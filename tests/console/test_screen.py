"""The live region on a terminal: drawn over in place, nothing left behind, nothing of others moves the cursor."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from workflow_runtime.console.render import Line
from workflow_runtime.console.screen import Region

from .emulator import Emulator


def region_on(terminal: Emulator) -> tuple[Region, Console]:
    console = Console(
        file=terminal,  # type: ignore[arg-type]  # as much of a file as rich needs
        force_terminal=True,
        width=terminal.width,
        height=50,
        color_system="standard",
        legacy_windows=False,
        _environ={},
    )
    return Region(console), console


def lines(*texts: str) -> list[Line]:
    return [[Segment(text)] for text in texts]


def resize(terminal: Emulator, console: Console, width: int) -> None:
    terminal.resize(width)
    console.width = width


def test_each_picture_takes_the_place_of_the_one_before() -> None:
    terminal = Emulator(40)
    region, _ = region_on(terminal)
    with region.opened():
        for picture in (("a", "b"), ("a", "B", "c"), ("x",), (), ("y", "z")):
            region.draw(lines(*picture))
            assert terminal.text == list(picture)
            assert not terminal.cursor_is_shown
    assert terminal.text == []
    assert terminal.cursor_is_shown


@given(
    st.lists(
        st.one_of(st.lists(st.text("ab ", max_size=12), max_size=6), st.text("xy", min_size=1, max_size=12)),
        max_size=12,
    )
)
def test_whatever_is_drawn_and_printed_the_terminal_shows_the_prints_and_the_last_picture(steps: list[Any]) -> None:
    terminal = Emulator(12)
    region, _ = region_on(terminal)
    printed: list[str] = []
    picture: list[str] = []
    with region.opened():
        for step in steps:
            if isinstance(step, str):
                region.print(Text(step))
                printed.append(step)
            else:
                picture = [text.rstrip() for text in step]
                region.draw(lines(*picture))
            wanted = [*printed, *picture]
            while wanted and not wanted[-1]:
                wanted.pop()
            assert terminal.text == wanted
    assert terminal.text == printed


def test_unchanged_lines_are_not_written_again() -> None:
    terminal = Emulator(80)
    region, _ = region_on(terminal)
    written: list[str] = []
    with region.opened():
        region.draw(lines("this line stays as it is", "0%"))
        write = terminal.write

        def spy(text: str) -> int:
            written.append(text)
            return write(text)

        terminal.write = spy  # type: ignore[method-assign]  # only to look
        region.draw(lines("this line stays as it is", "1%"))
        region.draw(lines("this line stays as it is", "1%"))
    assert "1%" in written[0]
    assert not any("stays" in text for text in written)


@pytest.mark.parametrize(("before", "after"), [(60, 20), (20, 60), (40, 13)])
def test_a_resize_leaves_nothing_behind(before: int, after: int) -> None:
    terminal = Emulator(before)
    region, console = region_on(terminal)
    with region.opened():
        region.print(Text("printed above"))
        region.draw(lines("a" * (before - 1), "b" * (before // 2), "short"))
        resize(terminal, console, after)
        region.draw(lines("narrow", "picture"))
        assert terminal.text == ["printed above", "narrow", "picture"]
        region.draw(lines("narrow", "again"))
        assert terminal.text == ["printed above", "narrow", "again"]
    assert terminal.text == ["printed above"]


def test_a_picture_that_was_made_before_a_resize_and_drawn_after_it_leaves_nothing_behind() -> None:
    terminal = Emulator(60)
    region, console = region_on(terminal)
    with region.opened():
        region.print(Text("printed above"))
        region.draw(lines("a" * 59, "b" * 30))
        resize(terminal, console, 20)
        region.draw(lines("c" * 59, "d" * 30))
        region.draw(lines("narrow", "picture"))
        assert terminal.text == ["printed above", "narrow", "picture"]


def test_a_print_right_after_a_resize_stands_above_the_picture() -> None:
    terminal = Emulator(40)
    region, console = region_on(terminal)
    with region.opened():
        region.draw(lines("c" * 39))
        resize(terminal, console, 20)
        region.print(Text("news"))
        region.draw(lines("small"))
        assert terminal.text == ["news", "small"]


def test_what_a_step_prints_stands_above_and_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Emulator(60)
    region, _ = region_on(terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with region.opened():
        region.draw(lines("picture"))
        print("hello", "from a step", flush=True)
        print("\x1b[31mred\x1b[0m and \x1b[2J\x1b[H\x07 more")
        print("10%\r20%\r30%")
        print("no end of line", end="")
        assert terminal.text[-1] == "picture"
    assert terminal.text == ["hello from a step", "red and  more", "30%", "no end of line"]
    assert sys.stdout is terminal  # type: ignore[comparison-overlap]  # it is given back


def test_printing_from_many_threads_loses_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Emulator(60)
    region, _ = region_on(terminal)
    monkeypatch.setattr(sys, "stdout", terminal)

    def work(name: str) -> None:
        for number in range(50):
            print(f"{name}{number}")

    with region.opened():
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for number in range(100):
            region.draw(lines(f"picture {number}"))
        for thread in threads:
            thread.join()
    assert sorted(terminal.text) == sorted(f"{name}{number}" for name in "abcd" for number in range(50))


def test_drawing_after_the_end_does_nothing() -> None:
    terminal = Emulator(40)
    region, _ = region_on(terminal)
    with region.opened():
        region.draw(lines("picture"))
    region.draw(lines("late"))
    assert terminal.text == []
