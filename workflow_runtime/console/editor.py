"""A text in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

__all__ = ["chosen_editor", "edit"]


def chosen_editor() -> str | None:
    """The command of the editor that the environment names."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR")


def edit(editor: str, text: str, suffix: str) -> str:
    """``text`` as the editor leaves it. The file is readable by its owner only and goes again."""
    descriptor, name = tempfile.mkstemp(prefix="wfr-", suffix=suffix, text=True)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        ended = subprocess.run([*shlex.split(editor), name], check=False)
        if ended.returncode != 0:
            raise ValueError(f"{editor} ended with {ended.returncode}; the text is as it was")
        edited = path.read_text(encoding="utf-8")
        return edited if text.endswith("\n") else edited.removesuffix("\n")
    finally:
        path.unlink(missing_ok=True)
