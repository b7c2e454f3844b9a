"""As much of a terminal as the live region uses: lines that are wrapped anew when it is resized, a cursor, a few controls.

Anything else is an error, so a control code that gets through from elsewhere cannot go unnoticed.
"""

from __future__ import annotations

import re

__all__ = ["Emulator"]

_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|[\s\S]")


class Emulator:
    """A terminal ``width`` cells wide. ``text`` are the lines from the first one ever written; all characters are narrow."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[list[str]] = [[]]
        self.line = 0  # of the logical lines
        self.column = 0  # within the logical line
        self.cursor_is_shown = True

    @property
    def text(self) -> list[str]:
        found = ["".join(line).rstrip() for line in self.lines]
        while found and not found[-1]:
            found.pop()
        return found

    def resize(self, width: int) -> None:
        """As most terminals do: lines that have become too long go on in the next row."""
        self.width = width

    def write(self, text: str) -> int:
        for match in _TOKEN.finditer(text):
            if match[3]:
                self._control(match[1], match[2], match[3])
            else:
                self._character(match[0])
        return len(text)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def isatty(self) -> bool:
        return True

    def _character(self, character: str) -> None:
        if character == "\n":
            self.line += 1
            self.column = 0
            if self.line == len(self.lines):
                self.lines.append([])
        elif character == "\r":
            self.column = max(0, self.column - 1) // self.width * self.width
        elif character.isprintable():
            line = self.lines[self.line]
            line.extend(" " * (self.column - len(line)))
            line[self.column : self.column + 1] = [character]
            self.column += 1
        else:
            raise AssertionError(f"a control character: {character!r}")

    def _control(self, private: str, numbers: str, letter: str) -> None:
        if letter == "m":
            return
        if private and letter in "hl" and numbers == "25":
            self.cursor_is_shown = letter == "h"
        elif letter == "A":
            for _ in range(int(numbers or 1)):
                self._up()
        elif letter == "K" and numbers == "2":
            self._erase_row()
        elif letter == "J" and numbers in ("", "0"):
            del self.lines[self.line][self.column :]
            del self.lines[self.line + 1 :]
        else:
            raise AssertionError(f"a control sequence: {private}{numbers}{letter}")

    def _up(self) -> None:
        if self.column >= self.width:
            self.column -= self.width
        elif self.line > 0:
            self.line -= 1
            rows = max(1, -(-len(self.lines[self.line]) // self.width))
            self.column += (rows - 1) * self.width

    def _erase_row(self) -> None:
        start = self.column // self.width * self.width
        self.lines[self.line][start : start + self.width] = []
