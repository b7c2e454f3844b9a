"""Workflows as agno's users write them, with nothing changed but the import, show what they show in agno.

What agno shows was recorded with the real library (``record.py``).
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from .compare import canonical
from .differences import DIFFERENCES
from .tape import Tape

HERE = Path(__file__).parent
SCRIPTS = sorted(path.stem for path in (HERE / "scripts").glob("*.py"))
SYNC = [name for name in SCRIPTS if "async def main" not in (HERE / "scripts" / f"{name}.py").read_text()]
ASYNC = [name for name in SCRIPTS if name not in SYNC]


def migrated(name: str) -> ModuleType:
    """The script with its imports changed, and nothing else."""
    path = HERE / "scripts" / f"{name}.py"
    source = path.read_text().replace("from agno", "from workflow_runtime.compat.agno")
    module = ModuleType(f"compat_script_{name}")
    sys.modules[module.__name__] = module  # values are stored by the name of their class
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def compare(name: str, tape: Tape) -> None:
    recorded = json.loads((HERE / "expected" / f"{name}.json").read_text())
    changes = DIFFERENCES.get(name, {})
    assert sorted(tape.notes) == sorted(recorded)
    assert set(changes) <= set(recorded), "a difference of a note that is not there"
    for label, ours in tape.notes.items():
        theirs = recorded[label]
        expected = changes[label](theirs) if label in changes else theirs
        mine, wanted = canonical(json.loads(json.dumps(ours)), expected)
        assert mine == wanted, f"{name}: {label}"


@pytest.mark.parametrize("name", SYNC)
def test_a_script_of_agno_shows_the_same_after_changing_the_import(name: str, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    migrated(name).main(tape)
    compare(name, tape)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", ASYNC)
async def test_an_async_script_of_agno_shows_the_same_after_changing_the_import(name: str, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    found = migrated(name).main(tape)
    assert inspect.iscoroutine(found)
    await found
    compare(name, tape)
