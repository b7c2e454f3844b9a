"""Environments that are made once and kept: for the libraries that are measured, and for those whose agents are tested."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

__all__ = ["packages", "pip", "prepared", "size"]


def prepared(
    home: Path,
    wanted: Callable[[], Any],
    install: Callable[[Path], dict[str, Any] | None],
    *,
    renew: Callable[[Path], None] | None = None,
    anew: bool = False,
) -> Path:
    """The interpreter of the environment at ``home``, which is made if it is not there.

    ``install`` is called with the interpreter of a new environment; what it returns is kept in ``installed.json``. It is
    made anew when ``wanted()``, data that JSON can hold, is another than it was, and with ``anew``. ``renew`` is called for
    one that is there. Any number of processes may ask for an environment at once: one makes it, the others wait.
    """
    home = home.absolute()
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    notes = home / "installed.json"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_name(f"{home.name}.lock")):
        kept = json.loads(notes.read_text()) if notes.exists() else {}
        if anew or wanted() != kept.get("wanted"):
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
            more = install(python) or {}
            notes.write_text(json.dumps({**more, "wanted": wanted()}))
        elif renew is not None:
            renew(python)
    return python


def pip(python: Path, *arguments: str) -> None:
    """Run this interpreter's pip for the environment of ``python``. SystemExit with its last words if it fails."""
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pip {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


_LIST = "import json; from importlib.metadata import distributions as d; print(json.dumps({x.name: x.version for x in d()}))"


def packages(python: Path) -> dict[str, str]:
    """Version by name."""
    done = subprocess.run([python, "-c", _LIST], capture_output=True, text=True, check=True)
    listed: dict[str, str] = json.loads(done.stdout)
    return listed


def size(home: Path) -> int:
    """Bytes of what is installed, compiled files not counted: they depend on what was imported."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc")
