"""Untrusted text made safe to show: a step's output can neither move the cursor nor imitate a line of the runtime.

Everything stays visible: a control character is shown by its picture (ESC as ``␛``), a character that reorders or hides
text by its code point (``<U+202E>``). Nothing is dropped silently, and nothing is interpreted as markup.
"""

from __future__ import annotations

import re

__all__ = ["clean", "one_line", "shorten"]

_NEWLINES = re.compile("\r\n|\u2028|\u2029|\x85|\x0b|\x0c")

_SHOWN: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_SHOWN[0x7F] = "␡"
_SHOWN.update({code: f"<U+{code:04X}>" for code in range(0x80, 0xA0)})  # C1: some terminals take 0x9B for ESC [
_SHOWN.update({code: f"<U+{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))})  # bidi overrides
_SHOWN.update(
    {
        code: f"<U+{code:04X}>"
        for code in (0x061C, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFE, 0xFFFF)
    }
)
_SHOWN.update({code: f"<U+{code:X}>" for code in range(0xE0000, 0xE0080)})  # tag characters: invisible text
_SUSPECT = re.compile("[^\n\t\x20-\x7e\xa0-\u05ff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` with line ends as ``\\n`` and every other control visible. Tabs stay. Fast for plain text."""
    if _SUSPECT.search(text) is None:
        return text
    text = _NEWLINES.sub("\n", text)
    return _SURROGATE.sub("\ufffd", text).translate(_SHOWN)


def one_line(text: object) -> str:
    """The same for a name: line ends and tabs are shown as well, so that it stays on its line."""
    return clean(str(text)).replace("\n", "␊").replace("\t", "␉")


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, with an ellipsis if some are missing."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
