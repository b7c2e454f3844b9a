"""Text of others cannot move a cursor, hide, or pass for more than one line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from workflow_runtime.view.clean import clean, one_line, shorten


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain text, ümläuts, 漢字 and 👩‍💻", "plain text, ümläuts, 漢字 and 👩‍💻"),
        ("a\x1b[2Jb", "a␛[2Jb"),
        ("over\rwritten", "over␍written"),
        ("two\r\nlines\u2028three", "two\nlines\nthree"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("bell\x07 back\x08 del\x7f", "bell␇ back␈ del␡"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("hid\u200bden", "hid<U+200B>den"),
        ("tab\there", "tab\there"),
    ],
)
def test_controls_are_shown_and_everything_else_stays(given_text: str, shown: str) -> None:
    assert clean(given_text) == shown


@given(st.text(st.characters()))
def test_no_text_keeps_a_control_character(text: str) -> None:
    for character in clean(text):
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
        assert character < "\u202a" or character > "\u202e"


@given(st.text(st.characters()))
def test_a_name_stays_on_one_line_and_can_be_measured_and_encoded(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert cell_len(shown) >= 0


def test_a_text_that_is_cut_ends_with_an_ellipsis() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
