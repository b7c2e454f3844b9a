"""Imports point one way, and the core is pure: what ``docs/architecture.md`` says of the rooms. (D15)"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
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
    "brokers": {"storage", "model"},
    "executors": {"model"},
    "engine": {"steps", "core", "storage", "brokers", "executors", "model"},
}
ABOVE = {
    "bench",
    "cli",
    "client",
    "console",
    "compat",
    "testing",
    "server",
    "cluster",
    "view",
}  # nothing below them may know them
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


WINGS = {
    "loop": set(),
    "bus": {"loop"},
    "people": {"loop", "bus"},
    "run": {"loop", "bus", "people"},
    "readers": {"loop", "bus", "run"},
    "start": {"loop", "bus", "people", "run", "readers"},
}
# What a wing below may name as a type, and only so: what it holds for those above, or is handed by them.
TYPES_ABOVE = {
    "loop": {"Execution", "Heart", "Line", "RunGroup", "Sweep"},
    "bus": {"Branch", "Execution", "Frame", "Place"},
    "people": {"Execution", "Frame"},
    "run": set(),
    "readers": set(),
    "start": set(),
}


def wings_of(path: Path) -> Iterator[tuple[str, str, bool]]:
    """(wing, name, whether it is for types only) of each import of another wing, those inside functions too."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
            wing = node.module.split(".")[0]
            yield from ((wing, alias.name, id(node) in for_types) for alias in node.names)


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_of_the_engine_imports_only_those_below_it(wing: str) -> None:
    files = [*(PACKAGE / "engine" / wing).glob("*.py")]
    assert len(files) > 5
    for path in files:
        for other, name, is_type in wings_of(path):
            allowed = other in WINGS[wing] or (is_type and name in TYPES_ABOVE[wing])
            assert allowed, f"{path.relative_to(PACKAGE)} imports {name} of {other}"


def test_every_module_of_the_engine_is_in_a_wing() -> None:
    assert [path.name for path in (PACKAGE / "engine").glob("*.py")] == ["__init__.py"]
    assert {path.parent.name for path in (PACKAGE / "engine").glob("*/*.py")} == set(WINGS)


def test_nothing_below_knows_the_rooms_above() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ABOVE:
            assert not rooms_of(path) & ABOVE, path.relative_to(PACKAGE)


def test_backends_know_contracts_and_model_only() -> None:
    for path in BACKENDS.rglob("*.py"):
        contract = "brokers" if path.relative_to(BACKENDS).parts[0] == "workflow_runtime_nats" else "storage"
        assert rooms_of(path) <= {contract, "model"}, path.relative_to(BACKENDS)


def test_the_core_has_no_clock_no_ids_and_no_waiting() -> None:
    for path in (PACKAGE / "core").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert not {name.split(".")[0] for name in imported(path)} & IMPURE, path.name
        waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
        assert not any(isinstance(node, waits) for node in ast.walk(tree)), path.name


def public_imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import from this package, also those inside functions, that leaves the module's own room."""
    package = ["workflow_runtime", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parts, *(node.module.split(".") if node.module else [])])
            if module.split(".")[0] == "workflow_runtime" and module.split(".")[1:2] != [package[1]]:
                yield from ((module, alias.name) for alias in node.names)


@pytest.mark.parametrize("room", ["view", "console", "server", "cluster"])
def test_what_is_built_on_top_uses_public_names_only(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for module, name in public_imports(path):
            if (
                module.split(".")[1:2] == ["view"] and room != "view"
            ):  # what a run looks like is shared by those that show it
                continue
            if module in BELOW.get(room, ()):
                continue
            assert module in ("workflow_runtime", *PUBLIC_MODULES), f"{path.relative_to(PACKAGE)}: {module}"
            assert name in importlib.import_module(module).__all__, f"{path.relative_to(PACKAGE)}: {module}.{name}"


BELOW = {
    # What is typed is read and checked as the run will.
    "console": ("workflow_runtime.model.json_schema", "workflow_runtime.model.kinds", "workflow_runtime.model.text"),
    "view": ("workflow_runtime.model.kinds",),
    "server": (
        "workflow_runtime.core.position",  # what a reader that comes back has seen
        "workflow_runtime.storage.base",
        "workflow_runtime.storage.registry",
        "workflow_runtime.model.codec",
        "workflow_runtime.model.extras",
        "workflow_runtime.model.kinds",
        "workflow_runtime.model.run_summary",  # a line of a list, from its row
        "workflow_runtime.model.text",
        "workflow_runtime.model.unreadable",
        "workflow_runtime.model.wire",  # the form and the version of what clients get
    ),
}
PUBLIC_MODULES = ("workflow_runtime.backends", "workflow_runtime.executors", "workflow_runtime.testing")
OPTIONAL_TELEMETRY = {"opentelemetry"}  # looked for by each run, and loaded where it is installed
OPTIONAL = [
    "pydantic",
    "rich",
    "prompt_toolkit",
    "aiosqlite",
    "asyncpg",
    "cel",
    "cronsim",
    "opentelemetry",
    "trio",
    "uvloop",
]
OPTIONAL += ["starlette", "uvicorn", "jwt", "httpx2", "ag_ui", "mcp", "nats"]


def test_importing_the_package_loads_nothing_that_only_some_need() -> None:
    program = f"import sys, workflow_runtime; print([name for name in {OPTIONAL} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_running_a_workflow_of_functions_loads_them_neither() -> None:
    program = (
        "import sys; from workflow_runtime import InMemoryDb, Workflow\n"
        "Workflow(steps=[lambda step_input: 'x'], db=InMemoryDb()).run('in')\n"
        f"print([name for name in {OPTIONAL} if name in sys.modules and name != 'opentelemetry'])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", "telemetry looks for opentelemetry, as it must"


def modules_loaded_by(program: str) -> set[str]:
    """What ``program`` loads beyond a bare interpreter."""
    ending = "\nimport sys; print(*sorted(sys.modules))"
    bare, loaded = (
        subprocess.run([sys.executable, "-c", lines + ending], capture_output=True, text=True, check=True).stdout
        for lines in ("", program)
    )
    return set(loaded.split()) - set(bare.split())


def test_importing_the_package_loads_itself_and_standard_modules_only() -> None:
    loaded = modules_loaded_by("import workflow_runtime")
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == {"workflow_runtime"}
    assert not loaded & {"asyncio", "logging", "inspect", "dataclasses"}, "typing is all it needs"


NOT_FOR_A_RUN = {
    *(f"workflow_runtime.{room}" for room in ABOVE),
    *("workflow_runtime_sqlite", "workflow_runtime_postgres"),
    *("importlib.metadata", "email", "zipfile", "http", "sqlite3", "csv", "xml", "multiprocessing"),
}


def test_a_first_simple_run_loads_what_it_needs() -> None:
    loaded = modules_loaded_by(
        "from workflow_runtime import InMemoryDb, Step, Workflow\n"
        "async def same(step_input): return step_input.input\n"
        "Workflow(steps=[Step('same', executor=same)], db=InMemoryDb()).run('in')"
    )
    foreign = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names - {"workflow_runtime"}
    known = {"anyio", "msgspec", "sniffio", "uuid_utils", "idna", "typing_extensions", "org"}
    assert foreign - known <= OPTIONAL_TELEMETRY, "packages beyond the declared ones"
    assert not loaded & NOT_FOR_A_RUN


def test_naming_what_a_workflow_is_written_with_loads_nothing_of_how_it_runs() -> None:
    loaded = modules_loaded_by("from workflow_runtime import Step, StepInput, Workflow")
    assert {name for name in loaded if name.startswith("workflow_runtime.engine.")} == set()
    assert not loaded & {"asyncio", "anyio", "ssl", "concurrent.futures", "workflow_runtime.storage.memory"}
    assert not loaded & {"pathlib", "urllib", "hashlib", "fractions"}, "each a few milliseconds, for what few need here"


def test_a_workflow_without_agents_makes_no_classes_for_their_events() -> None:
    program = (
        "from workflow_runtime import ExecutorEvent, Workflow\n"
        "workflow = Workflow(steps=[lambda step_input: 'x'], store_events=True)\n"
        "workflow.run('in')\n"
        "print(*(kind.__name__ for kind in ExecutorEvent.__subclasses__()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["RunContentEvent"]


def test_the_types_in_signatures_are_found_before_a_workflow_is_made() -> None:
    program = (
        "import inspect, typing\n"
        "from workflow_runtime import Workflow\n"
        "for name, verb in inspect.getmembers(Workflow, inspect.isfunction):\n"
        "    typing.get_type_hints(verb)\n"
        "from workflow_runtime import RunStream\n"
        "print(RunStream in typing.get_args(typing.get_type_hints(Workflow.arun)['return']))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


def test_no_run_loads_a_module_of_ours_while_it_holds_the_loop() -> None:
    program = (
        "import asyncio, sys\n"
        "from workflow_runtime import InMemoryDb, Parallel, Step, Workflow\n"
        "async def same(step_input): return step_input.input\n"
        "async def chunks(step_input): yield 'a'; yield 'b'\n"
        "def plain(step_input): return 'c'\n"
        "db = InMemoryDb()\n"
        "workflow = Workflow(steps=[Step('same', executor=same), Parallel(chunks, plain)], db=db)\n"
        "asking = Workflow(steps=[Step('asked', executor=same, requires_confirmation=True)], db=db)\n"
        "before = set(sys.modules)\n"
        "async def main():\n"
        "    await workflow.arun('in')\n"
        "    async for event in workflow.arun('in', stream=True, stream_events=True): pass\n"
        "    run_id = (await workflow.arun('in', background=True)).run_id\n"
        "    async for event in workflow.subscribe(run_id): pass\n"
        "    await workflow.aget_session_state()\n"
        "    await workflow.history(run_id), await workflow.fork(run_id), await workflow.recover()\n"
        "    paused = await asking.arun('in')\n"
        "    paused.active_step_requirements[0].confirm()\n"
        "    assert (await asking.acontinue_run(paused)).content == 'in'\n"
        "asyncio.run(main())\n"
        "workflow.run('in')\n"
        "print(*(name for name in set(sys.modules) - before if name.startswith('workflow_runtime')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_every_public_name_exists_and_every_module_says_what_it_offers() -> None:
    for module in ("workflow_runtime", *PUBLIC_MODULES):
        found = importlib.import_module(module)
        assert [name for name in found.__all__ if not hasattr(found, name)] == [], module
        assert len(set(found.__all__)) == len(found.__all__), module
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        defines = [
            node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        ]
        if any(not node.name.startswith("_") for node in defines):
            assert "__all__" in path.read_text(), path.relative_to(PACKAGE)
