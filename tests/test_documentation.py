"""The documentation as a whole: lists that say they are complete are."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

import workflow_runtime
from workflow_runtime import Workflow, WorkflowEvent
from workflow_runtime.cli.app import app

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = (
    "workflow_runtime",
    "workflow_runtime.backends",
    "workflow_runtime.executors",
    "workflow_runtime.testing",
    "workflow_runtime.server",
    "workflow_runtime.client",
)


def public() -> dict[str, object]:
    """Every public name as ``module.name``."""
    found: dict[str, object] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        found |= {f"{package}.{name}": getattr(module, name) for name in module.__all__}
    return found


# -- errors ------------------------------------------------------------------------------------------------------------


def error_sections() -> dict[str, str]:
    """What the page of errors says of each class, by its heading."""
    parts = re.split(r"^###? `([\w.]+)`\n", (DOCS / "errors.md").read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def errors() -> dict[str, type[BaseException]]:
    """The public error classes by the heading that each has on the page: a second one of a name with its module."""
    found: dict[str, type[BaseException]] = {}
    for place, value in public().items():
        if isinstance(value, type) and issubclass(value, BaseException):  # is_error() in a form that narrows
            name = value.__name__
            found[f"{place.split('.')[-2]}.{name}" if name in found else name] = value
    return found


def test_the_page_of_errors_has_every_error_class_and_no_other() -> None:
    assert set(error_sections()) == set(errors())


def test_each_error_says_why_what_to_do_and_which_builtin_it_is() -> None:
    sections = error_sections()
    for name, kind in errors().items():
        if name == "WorkflowRuntimeError":
            continue
        assert "**What to do:** " in sections[name], name
        builtins = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins" and base is not Exception]
        assert all(f"`{base}`" in sections[name] for base in builtins), f"{name} is also {builtins}"


# -- settings ----------------------------------------------------------------------------------------------------------

CONFIGURED = (
    "workflow_runtime.Workflow",
    "workflow_runtime.Step",
    "workflow_runtime.Retry",
    "workflow_runtime.HumanReview",
    "workflow_runtime.Retention",
    "workflow_runtime.Budget",
    "workflow_runtime.Limit",
    "workflow_runtime.Runtime",
    "workflow_runtime.InMemoryDb",
    "workflow_runtime.backends.SqliteDb",
    "workflow_runtime.backends.PostgresDb",
    "workflow_runtime.server.workflow_app",
    "workflow_runtime.server.create_router",
    "workflow_runtime.server.Limits",
    "workflow_runtime.server.JwtAuth",
    "workflow_runtime.client.Client",
)


@pytest.mark.parametrize("place", CONFIGURED)
def test_the_page_of_settings_has_every_parameter_with_its_default(place: str) -> None:
    package, _, name = place.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(package), name)).parameters
    page = (DOCS / "settings.md").read_text()
    section = re.split(r"^##", page.partition(f"### `{name}`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section, flags=re.MULTILINE))
    assert list(rows) == list(parameters), f"docs/settings.md, {name}"
    for parameter in parameters.values():
        if isinstance(parameter.default, (bool, int, float, str)):
            assert rows[parameter.name] == f"`{parameter.default!r}`".replace("'", '"'), f"{name}({parameter.name}=)"


def test_the_page_of_settings_has_every_command_and_option() -> None:
    rows = dict(re.findall(r"^\| `(wfr [\w -]+)` \| .+? \| (.*) \|$", (DOCS / "settings.md").read_text(), re.MULTILINE))
    commands = dict(leaves(typer.main.get_command(app), "wfr"))
    assert rows.keys() == commands.keys()
    for name, command in commands.items():
        options = [option.opts for option in command.params if option.param_type_name == "option"]
        long = {opts[0] for names in options if (opts := [opt for opt in names if opt.startswith("--")])} - {"--help"}
        assert set(re.findall(r"`(--[\w-]+)`", rows[name])) == long, f"docs/settings.md, {name}"


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Each command that does something, by its whole name."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for inner, below in command.commands.items():
        yield from leaves(below, f"{name} {inner}")


def test_the_page_of_settings_has_every_environment_variable() -> None:
    page = (DOCS / "settings.md").read_text()
    sources = "".join(path.read_text() for path in (DOCS.parent / "workflow_runtime" / "cli").glob("*.py"))
    read = set(re.findall(r'"(WFR_[A-Z]+)"', sources))
    assert read
    assert not [name for name in read if f"`{name}`" not in page]


# -- reference ---------------------------------------------------------------------------------------------------------

REAL_NAMES = {
    "workflow_runtime_sqlite.SqliteDb": "workflow_runtime.backends.SqliteDb",
    "workflow_runtime_postgres.PostgresDb": "workflow_runtime.backends.PostgresDb",
}


def referenced() -> set[str]:
    """The public names that the pages of the reference draw from the code, or list as events or errors."""
    pages = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    drawn: list[str] = re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)
    listed: set[str] = set(re.findall(r"^### `(\w+)`$", (DOCS / "reference" / "events.md").read_text(), re.MULTILINE))
    aliases = {"Event", "WorkflowEvent", "WorkflowRunOutputEvent"}  # in the text of the page of events
    return {REAL_NAMES.get(name, name) for name in drawn} | {f"workflow_runtime.{name}" for name in listed | aliases}


def test_the_reference_has_every_public_name() -> None:
    names = {name for name, value in public().items() if not is_error(value)} | {"workflow_runtime.backends.PostgresDb"}
    assert referenced() == names


def test_the_index_of_the_reference_links_every_public_name() -> None:
    index = (DOCS / "reference.md").read_text()
    for package in PACKAGES:
        section = re.split(r"^## ", index.partition(f"## `{package}`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        names = set(importlib.import_module(package).__all__)
        assert names <= set(re.findall(r"\[`(\w+)`\]", section)), package


def test_each_event_is_listed_with_all_its_fields() -> None:
    page = (DOCS / "reference" / "events.md").read_text()
    parts = re.split(r"^### `(\w+)`\n", page, flags=re.MULTILINE)[1:]
    common = {field.name for field in msgspec.structs.fields(WorkflowEvent)} | {"step_name", "step_index"}
    for name, section in zip(parts[::2], parts[1::2], strict=True):
        kind = getattr(workflow_runtime, name)
        if issubclass(kind, WorkflowEvent):
            fields = {field.name for field in msgspec.structs.fields(kind)} - (common - {"status"})
            assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == fields, name


def test_each_verb_of_a_workflow_says_what_it_does() -> None:
    verbs = [name for name, _ in inspect.getmembers(Workflow, inspect.isfunction) if not name.startswith("_")]
    assert len(verbs) > 50
    assert [name for name in verbs if not inspect.getdoc(getattr(Workflow, name))] == []


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
