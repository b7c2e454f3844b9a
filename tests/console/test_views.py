"""Each view at 60, 80 and 200 columns, drawn from recorded events, compared with what a person has looked at and liked.

After a change on purpose: UPDATE_SNAPSHOTS=1 pytest tests/console/test_views.py, then look at the difference.
"""

from __future__ import annotations

import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment

from workflow_runtime import StepErrorEvent, StepStartedEvent
from workflow_runtime.console import panels
from workflow_runtime.console.ask import question
from workflow_runtime.console.frame import Painter, snapshot
from workflow_runtime.console.render import tree_lines
from workflow_runtime.console.screen import encodable, lines_of
from workflow_runtime.view.rows import rows
from workflow_runtime.view.tree import View

from .record import workflows
from .streams import HERE, WIDTHS, folded, recording

MOMENTS = {"everything": (0.6, 0.75, 1.5), "cancel": (0.2,)}
SCENES = ("everything", "fail", "skip", "pause", "cancel")


def drawn_live(name: str, at: float, width: int, *, height: int = 30, markdown: bool = True) -> str:
    """The live region as it stood ``at`` seconds after the start, the steps that were to come included."""
    console = recording(width, height=height)
    view, now = folded(name, at, View(outline=workflows()[name].outline()))
    lines = Painter(console, markdown=markdown).lines(snapshot(view, now, height), frame=0)
    assert all(Segment.get_line_length(line) <= width for line in lines)
    assert len(lines) < height
    console.print(lines_of(lines))
    return console.export_text(styles=False)


def drawn_end(name: str, width: int, *, console: Console | None = None) -> str:
    """The tree, the questions and the last panel that a run leaves in the scrollback."""
    console = console or recording(width)
    view, now = folded(name)
    console.print(encodable(console, lines_of(tree_lines(rows(view, now), width))))
    for item in view.questions:
        console.print(encodable(console, question(item, console, markdown=True)))
    last = panels.final(
        view, view.content, console, markdown=True, time="1.0s", files=["image: https://example.org/1.png"]
    )
    console.print(encodable(console, last))
    return console.export_text(styles=False)


def same_as(name: str, text: str) -> None:
    path = HERE / "snapshots" / f"{name}.txt"
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_the_end_of_a_run_looks_as_it_was_liked(scene: str, width: int) -> None:
    text = drawn_end(scene, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    same_as(f"{scene}-{width}", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("scene", "at"), [(name, at) for name, moments in MOMENTS.items() for at in moments])
def test_a_moment_of_a_run_looks_as_it_was_liked(scene: str, at: float, width: int) -> None:
    same_as(f"{scene}-at-{at:g}-{width}", drawn_live(scene, at, width))


@pytest.mark.parametrize("height", [4, 8, 12, 24])
@pytest.mark.parametrize("width", [1, 2, 10, 20, 40])
def test_a_tiny_terminal_is_never_overfull(width: int, height: int) -> None:
    for at in (0.1, 0.5, 0.75, 1.2, 1.5):
        drawn_live("everything", at, width, height=height)


def test_a_terminal_without_colour_gets_no_colours() -> None:
    console = Console(
        width=80,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={"NO_COLOR": "1"},
    )
    drawn_end("everything", 80, console=_recording(console))
    assert isinstance(console.file, io.StringIO)
    codes = re.findall(r"\x1b\[([\d;]*)m", console.file.getvalue())
    assert codes
    assert not [code for code in codes if re.search(r"(?:^|;)(?:3[0-8]|4[0-8]|9\d|10\d)(?:;|$)", code)]


def _recording(console: Console) -> Console:
    console.record = True
    return console


def test_an_encoding_without_line_art_gets_plain_characters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(width=80, file=file, force_terminal=True, color_system=None, legacy_windows=False, _environ={})
    drawn_end("everything", 80, console=_recording(console))
    lines = Painter(console, markdown=True).lines(snapshot(folded("everything", 0.75)[0], 0.75, 30), 0)
    assert all(segment.text.isascii() for line in lines[:3] for segment in line)
    file.flush()
    file.buffer.seek(0)
    assert file.buffer.read().isascii()


def test_colours_tell_the_states_apart() -> None:
    console = recording(80)
    view, now = folded("fail")
    console.print(lines_of(tree_lines(rows(view, now), 80)))
    svg = console.export_svg(title="fail")
    assert len(set(re.findall(r"fill: (#[0-9a-f]{6})", svg))) >= 4


def test_markdown_loses_nothing_that_was_written() -> None:
    console = recording(80)
    text = (
        "a List<T> and <script>x</script> [link](https://example.org/x) & *stars*\n\n<div>\nblock\n</div>\n\n`<code>`"
    )
    console.print(panels.content(text, True))
    drawn = console.export_text()
    for part in ("List<T>", "<script>x</script>", "https://example.org/x", "<div>", "<code>", "&"):
        assert part in drawn


@given(
    st.text(st.characters(), min_size=1, max_size=60),
    st.text(st.characters(), max_size=200),
    st.sampled_from([8, 20, 60, 80, 200]),
)
def test_names_and_errors_of_any_kind_keep_to_their_line_and_width(name: str, error: str, width: int) -> None:
    view = View()
    view.fold(StepStartedEvent(seq=1, path="0.box/0.step", step_name=name), 0.0)
    view.fold(StepErrorEvent(seq=2, path="0.box/0.step", step_name=name, error=error, error_type="Error"), 1.0)
    console = recording(width)
    lines = tree_lines(rows(view, 1.0), width)
    console.print(lines_of(lines))
    assert all(Segment.get_line_length(line) <= width for line in lines)
    written = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    assert not re.search("[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f]", written)
    assert not re.search(r"\x1b(?!\[[\d;]*m)", written)
    assert written.count("\n") == len(lines)


def test_wide_characters_keep_the_times_in_their_column() -> None:
    view = View()
    for number, name in enumerate(("research", "検索する", "поиск", "🧑‍💻 code")):
        view.fold(StepStartedEvent(seq=1, path=f"{number}.s", step_name=name), 0.0)
    lines = tree_lines(rows(view, 2.0), 60)
    assert {Segment.get_line_length(line) for line in lines} == {60}
