"""Run every script with the real agno and store what it shows, as ``expected/<script>.json``.

    python tests/compat/record.py /path/to/venv-with-agno/bin/python [script ...]

The venv needs ``agno==2.9.0 sqlalchemy greenlet aiosqlite fastapi openai cel-python``. The tests compare with the
stored files only.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def play(name: str) -> None:
    """Inside agno's venv: run one script and write its notes to standard output."""
    sys.path.insert(0, str(HERE))
    from tape import Tape  # type: ignore[import-not-found]  # beside this file

    spec = importlib.util.spec_from_file_location(f"compat_script_{name}", HERE / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as directory:
        tape = Tape(Path(directory))
        found = module.main(tape)
        if inspect.iscoroutine(found):
            asyncio.run(found)
    out = sys.__stdout__
    assert out is not None
    out.write("\n=== notes\n" + json.dumps(tape.notes, indent=1, ensure_ascii=False))


def signatures() -> None:
    """Inside agno's venv: write what its modules offer to standard output."""
    sys.path.insert(0, str(HERE))
    from signatures import collect  # type: ignore[import-not-found]  # beside this file

    found = collect("agno")
    out = sys.__stdout__
    assert out is not None
    out.write("\n=== notes\n" + json.dumps(found))


def _lines(entries: dict[str, object]) -> str:
    """One line per entry: readable, and small."""
    return ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(entries.items()))


def main(python: str, names: list[str]) -> None:
    env = {**os.environ, "AGNO_TELEMETRY": "false", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([python, str(HERE / "record.py"), "--signatures"], capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.split("\n=== notes\n")[1])
    lines = [f'"{kind}": {{\n{_lines(entries)}\n}}' for kind, entries in sorted(found.items())]
    (HERE / "signatures.json").write_text("{" + ",\n".join(lines) + "}\n")
    for name in names or sorted(path.stem for path in (HERE / "scripts").glob("*.py") if path.stem != "__init__"):
        done = subprocess.run(
            [python, str(HERE / "record.py"), "--play", name], capture_output=True, text=True, env=env, timeout=300
        )
        if done.returncode:
            print(f"{name}: failed\n{done.stderr}")
            continue
        notes = json.loads(done.stdout.split("\n=== notes\n")[1])
        (HERE / "expected" / f"{name}.json").write_text(
            json.dumps(notes, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        )
        print(f"{name}: {len(notes)} notes")


if __name__ == "__main__":
    if sys.argv[1] == "--play":
        play(sys.argv[2])
    elif sys.argv[1] == "--signatures":
        signatures()
    else:
        main(sys.argv[1], sys.argv[2:])
