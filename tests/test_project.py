"""The project as a newcomer meets it: its commands, its package, its public names, its pages."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workflow_runtime

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def make(*arguments: str) -> str:
    """What make prints; told nothing of the make that may have started these tests."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    command = ["make", "--no-print-directory", *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
    return ran.stdout


def targets() -> set[str]:
    phony = next(line for line in MAKEFILE.splitlines() if line.startswith(".PHONY: help"))
    return set(phony.split()[1:])


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", *(f"{p.relative_to(ROOT)}" for p in (ROOT / "docs").rglob("*.md"))]
)
def test_every_make_command_of_a_page_is_a_target(page: str) -> None:
    named = set(re.findall(r"\bmake ([a-z]+)`?(?=[ `\n]*(?:#|`|\n|$))", (ROOT / page).read_text()))
    assert named <= targets()


def test_the_readme_names_the_command_that_ci_runs() -> None:
    script = (ROOT / ".ci/run").read_text()
    commands = [line for line in script.splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
    assert "$ make test" in (ROOT / "README.md").read_text()


def test_make_help_lists_every_target() -> None:
    said = make("help")
    listed = set(re.findall(r"^  make ([a-z-]+) ", said, re.MULTILINE))
    assert listed == targets()
    assert all(re.search(rf"^  make {name} +\S", said, re.MULTILINE) for name in listed)


def test_make_test_runs_every_check_and_the_tests() -> None:
    plan = make("--dry-run", "test")
    for tool in (
        "ruff format --check .",
        "ruff check .",
        "bin/mypy",
        "bin/pyright",
        "mkdocs build --quiet --strict",
        "-m pytest",
    ):
        assert tool in plan, tool
    assert "-m pytest " in plan.rstrip().splitlines()[-1]


# -- the package -------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_its_backend_and_their_types(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    packages = {name.split("/")[0] for name in names if "dist-info" not in name}
    expected = {Path(name).name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert packages == expected >= {"workflow_runtime", "workflow_runtime_sqlite"}
    assert {f"{package}/py.typed" for package in packages} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "sqlite = workflow_runtime_sqlite:SqliteDb" in points

    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    code = (
        "import workflow_runtime, sys; from workflow_runtime.backends import SqliteDb;"
        "w = workflow_runtime.Workflow(steps=[lambda: 42], db=SqliteDb('runs.db')); print(w.run().content);"
        "print(workflow_runtime.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked), "PATH": ""},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert ran.stdout.splitlines() == ["42", str(unpacked / "workflow_runtime/__init__.py")]


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert all(f"   {number}. " in text for number in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_version_is_the_same_everywhere() -> None:
    assert workflow_runtime.__version__ == PROJECT["project"]["version"]


def sources() -> Iterator[Path]:
    yield from (ROOT / "workflow_runtime").rglob("*.py")
    yield from (ROOT / "backends").rglob("*.py")


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, functions and TYPE_CHECKING blocks left out."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node


# whole packages behind an extra
EXTRA_OF_PACKAGE = {"workflow_runtime_postgres": {"asyncpg"}, "workflow_runtime_nats": {"nats"}}
EXTRA_OF_ROOM = {
    "console": {"rich", "prompt_toolkit", "markdown_it"},
    "cli": {"rich", "typer"},
    "testing": {"pytest", "hypothesis", "pydantic"},
    "server": {"starlette", "uvicorn", "jwt", "fastapi", "ag_ui", "mcp", "mcp_types", "pydantic", "htpy", "markupsafe"},
    "client": {"httpx2"},
}
# An adapter is imported where an agent of its library is, with the library. Its tests run in an environment that has it.
ADAPTERS = {
    "adk": {"google", "pydantic"},
    "adk_records": {"google", "pydantic_core"},
    "adk_sessions": {"google"},
    "agent_framework": {"agent_framework"},
    "agent_framework_records": {"agent_framework"},
    "agno": {"agno"},
    "agno_records": {"agno"},
    "langgraph": {"langgraph", "langchain_core"},
    "langgraph_interrupts": {"langchain_core"},
    "langgraph_records": {"langgraph", "langchain_core"},
    "llama_index": {"workflows", "llama_index"},
    "llama_index_contexts": {"workflows"},
    "llama_index_records": {"llama_index"},
    "openai_agents": {"agents"},
    "openai_agents_records": {"agents", "openai", "pydantic"},
    "pydantic_ai": {"pydantic_ai", "pydantic"},
}
IMPORT_NAMES = {"common-expression-language": "cel", "opentelemetry-api": "opentelemetry"}


def test_what_is_imported_at_once_is_a_declared_dependency() -> None:
    declared = {re.split(r"[^\w-]", item)[0].replace("-", "_") for item in PROJECT["project"]["dependencies"]}
    own = {"workflow_runtime", *(path.name for path in (ROOT / "backends").iterdir())}
    for path in sources():
        place = path.relative_to(ROOT).parts
        allowed = declared | own | EXTRA_OF_PACKAGE.get(place[1], set()) | EXTRA_OF_ROOM.get(place[1], set())
        allowed |= ADAPTERS.get(path.stem, set()) if place[1] == "executors" else set()
        found = {name for node in top_level(ast.parse(path.read_text())) for name in imported(node)}
        undeclared = {name for name in found - allowed if name not in sys.stdlib_module_names}
        assert not undeclared, f"{path.relative_to(ROOT)} imports {undeclared}"


def test_importing_the_package_loads_no_extra() -> None:
    names = [*IMPORT_NAMES.values(), "pydantic", "asyncpg", "rich", "uvloop", "trio", "sqlite3"]
    code = f"import sys, workflow_runtime; print([name for name in {names} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert ran.stdout.strip() == "[]"


# -- public names ------------------------------------------------------------------------------------------------------


def public_modules() -> list[str]:
    found = [info.name for info in pkgutil.walk_packages(workflow_runtime.__path__, "workflow_runtime.")]
    adapters = {f"workflow_runtime.executors.{name}" for name in ADAPTERS}
    return ["workflow_runtime", *(name for name in found if "console" not in name and name not in adapters)]


@pytest.mark.parametrize("name", public_modules())
def test_all_names_of_a_module_exist_once(name: str) -> None:
    module = importlib.import_module(name)
    listed: list[str] = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed))
    assert [missing for missing in listed if not hasattr(module, missing)] == []


def test_the_three_lists_of_public_names_say_the_same() -> None:
    tree = ast.parse(Path(workflow_runtime.__file__).read_text())
    checked = {
        alias.asname or alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == workflow_runtime._HOMES
    assert set(checked) == set(workflow_runtime.__all__)


def test_a_star_import_brings_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from workflow_runtime import *", names)
    assert set(workflow_runtime.__all__) <= set(names)
    assert set(workflow_runtime.__all__) <= set(dir(workflow_runtime))


def test_a_misspelt_name_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'workflow_runtime' has no attribute 'Workflw'"):
        getattr(workflow_runtime, "Workflw")  # noqa: B009  # a type checker would know better
    with pytest.raises(ImportError, match="cannot import name 'Workflw' from 'workflow_runtime'"):
        exec("from workflow_runtime import Workflw")


# -- pages -------------------------------------------------------------------------------------------------------------


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_stands_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not re.search(rf"[ -:] {re.escape(page)}$", contents, re.MULTILINE)] == []


def test_the_places_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert all(f"**D{number}**" in text for number in range(1, 17))
    for name in set(
        re.findall(r"`((?:core|engine|model|steps|storage|verbs|executors|testing|compat)/[\w/.]*)`", text)
    ):
        assert (ROOT / "workflow_runtime" / name).exists(), name
    for name in set(re.findall(r"`(tests/[\w/.]+)`", text)):
        assert (ROOT / name).exists(), name


HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian.org",
    "crates" + ".io",
)


def test_no_file_names_the_host_of_a_package_registry() -> None:
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace").lower()
        assert [host for host in HOSTS if host in text] == [], path.relative_to(ROOT)
