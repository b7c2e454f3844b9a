"""Makes ``docs/images/terminal.svg``: ``python tests/console/cast.py``. What a terminal showed of a real run, as a film.

An SVG without scripts: each picture is a group that is visible for its time. Where less motion is asked for, the last one
stands still.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from html import escape
from itertools import groupby
from pathlib import Path

import anyio
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from emulator import Emulator

from workflow_runtime import Parallel, Retry, Step, StepInput, Workflow

FILM = Path(__file__).parents[2] / "docs" / "images" / "terminal.svg"
WIDTH = 80
PAUSE = 2.5  # seconds that the last picture stays
LINE, CELL, MARGIN = 18, 8.4, 14
COLORS = {"✔": "#3fb950", "●": "#58a6ff", "↻": "#d29922", "⠿": "#58a6ff"}
STYLE = (
    "rect{fill:#0d1117}text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#e6edf3;white-space:pre}"
    "g{visibility:hidden}"
)


async def price(step_input: StepInput) -> str:
    await anyio.sleep(0.6)
    return "349.00 EUR"


async def stock(step_input: StepInput) -> int:
    await anyio.sleep(1.1)
    return 2


called: list[int] = []


async def charge(step_input: StepInput) -> str:
    await anyio.sleep(0.7)
    called.append(1)
    if len(called) == 1:
        raise ConnectionError("the bank does not answer")
    return f"charged {step_input.get_step_content('price')}"


async def letter(step_input: StepInput) -> AsyncIterator[str]:
    text = (
        f"Dear Ada, your {step_input.input} is on its way. We have {step_input.get_step_content('charge')}, thank you."
    )
    for word in text.split(" "):
        await anyio.sleep(0.12)
        yield f"{word} "


class Film(Emulator):
    """A terminal that keeps what it showed, with the time of each picture in seconds."""

    def __init__(self) -> None:
        super().__init__(WIDTH)
        self.began = time.monotonic()
        self.pictures: list[tuple[float, list[str]]] = []

    def flush(self) -> None:
        if self.text and (not self.pictures or self.pictures[-1][1] != self.text):
            self.pictures.append((time.monotonic() - self.began, self.text))


async def record() -> list[tuple[float, list[str]]]:
    """The pictures of one run."""
    film = Film()
    console = Console(file=film, force_terminal=True, width=WIDTH, height=30)  # type: ignore[arg-type]  # what it needs
    pay = Step("charge", executor=charge, retry=Retry(attempts=3, delay=0.6, jitter=0))
    desk = Workflow(name="Desk", steps=[Parallel(price, stock, name="checks"), pay, letter])
    await desk.aprint_response("desk", run_id="order-7", stream=True, console=console, show_step_details=False)
    film.flush()
    return film.pictures


def svg(pictures: list[tuple[float, list[str]]]) -> str:
    total = pictures[-1][0] + PAUSE
    height = max(len(lines) for _, lines in pictures) * LINE + 2 * MARGIN
    width = round(WIDTH * CELL) + 2 * MARGIN
    styles, groups = [STYLE], []
    for number, (start, lines) in enumerate(pictures):
        end = pictures[number + 1][0] if number + 1 < len(pictures) else total
        shown, hidden = 100 * start / total, 100 * end / total
        frames = f"0%,{shown:.2f}%{{visibility:hidden}}" if number else ""
        frames += f"{shown + 0.01:.2f}%,{hidden:.2f}%{{visibility:visible}}"
        frames += f"{hidden + 0.01:.2f}%,100%{{visibility:hidden}}" if end < total else ""
        styles.append(
            f"@keyframes k{number}{{{frames}}}#f{number}{{animation:k{number} {total:.1f}s step-end infinite}}"
        )
        groups.append(f'<g id="f{number}">{"".join(row(at, line) for at, line in enumerate(lines) if line)}</g>')
    styles.append(
        "@media (prefers-reduced-motion:reduce){g{animation:none!important}"
        f"#f{len(pictures) - 1}{{visibility:visible}}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        "<title>A workflow in a terminal: branches, a retry, and text while it is written</title>"
        f"<style>{''.join(styles)}</style>"
        f'<rect width="{width}" height="{height}" rx="8"/>{"".join(groups)}</svg>\n'
    )


def row(number: int, line: str) -> str:
    cells = "".join(
        f'<tspan fill="{color}">{text}</tspan>' if color else text
        for color, run in groupby(line, color_of)
        for text in [escape("".join(run))]
    )
    return f'<text x="{MARGIN}" y="{MARGIN + (number + 0.75) * LINE:.1f}">{cells}</text>'


def color_of(cell: str) -> str | None:
    if "\u2800" < cell <= "\u28ff":  # the spinner
        return COLORS["⠿"]
    return "#8b949e" if cell in "╭╮╰╯─│├└" else COLORS.get(cell)


if __name__ == "__main__":
    FILM.write_text(svg(anyio.run(record)), "utf-8")
