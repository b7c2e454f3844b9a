"""Imports point one way, and the core is pure: what ``docs/architecture.md`` says of the rooms. (D15)"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "workflow_runtime"
BACKENDS = PACKAGE.parent / "backends"

# Which rooms a room may import when it is loaded. Those that are not named here stand above all of these.
MAY_IMPORT = {
    "model": set(),
    "core": {"model"},
    "steps": {"core", "model"},
    "storage": {"model"},
    "executors": {"model"},
    "engine": {"steps", "core", "storage", "executors", "model"},
}
ABOVE = {"console", "compat", "testing", "server", "cluster"}  # nothing below them may know them
IMPURE = {
    "anyio",
    "asyncio",
    "datetime",
    "os",
    "random",
    "secrets",
    "socket",
    "threading",
    "time",
    "uuid",
    "uuid_utils",
}


def loaded(tree: ast.Module) -> Iterator[ast.stmt]:
    """The import statements that run when the module is loaded."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, (ast.If, ast.Try)) and "TYPE_CHECKING" not in ast.unparse(node):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, (ast.Import, ast.ImportFrom)))


def imported(path: Path) -> Iterator[str]:
    """The modules that the module at ``path`` imports when it is loaded, by their absolute names."""
    package = ["workflow_runtime", *path.relative_to(PACKAGE).parent.parts] if path.is_relative_to(PACKAGE) else []
    for node in loaded(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parts, *(node.module.split(".") if node.module else [])])
            yield from ([base] if node.module else (f"{base}.{alias.name}" for alias in node.names))


def rooms_of(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "workflow_runtime" and len(parts) > 1}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_those_below_it(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        assert rooms_of(path) - {room} <= MAY_IMPORT[room], path.relative_to(PACKAGE)


def test_nothing_below_knows_the_rooms_above() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ABOVE:
            assert not rooms_of(path) & ABOVE, path.relative_to(PACKAGE)


def test_backends_know_storage_and_model_only() -> None:
    for path in BACKENDS.rglob("*.py"):
        assert rooms_of(path) <= {"storage", "model"}, path.relative_to(BACKENDS)


def test_the_core_has_no_clock_no_ids_and_no_waiting() -> None:
    for path in (PACKAGE / "core").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert not {name.split(".")[0] for name in imported(path)} & IMPURE, path.name
        waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
        assert not any(isinstance(node, waits) for node in ast.walk(tree)), path.name
