"""Names of modules and parameters of classes and methods, as data; run with agno by ``record.py`` and here by a test."""

from __future__ import annotations

import importlib
import inspect
from enum import Enum
from typing import Any

__all__ = ["collect"]

MODULES = (
    "workflow",
    "workflow.step",
    "workflow.steps",
    "workflow.loop",
    "workflow.parallel",
    "workflow.condition",
    "workflow.router",
    "workflow.types",
    "workflow.workflow",
    "workflow.decorators",
    "workflow.cel",
    "run",
    "run.base",
    "run.workflow",
    "run.agent",
    "run.team",
    "run.cancel",
    "session",
    "session.workflow",
    "db",
    "db.base",
    "db.sqlite",
    "db.postgres",
    "db.async_postgres",
    "db.in_memory",
    "media",
    "utils.pprint",
    "registry",
    "utils.merge_dict",
    "workflow.utils.hitl",
)
CALLABLES = (
    "workflow:Workflow",
    "workflow:Step",
    "workflow:Steps",
    "workflow:Loop",
    "workflow:Parallel",
    "workflow:Condition",
    "workflow:Router",
    "workflow:HumanReview",
    "workflow:StepInput",
    "workflow:StepOutput",
    "workflow:WorkflowExecutionInput",
    "workflow:pause",
    "workflow.types:UserInputField",
    "run:RunContext",
    "db.sqlite:SqliteDb",
    "db.sqlite:AsyncSqliteDb",
    "db.postgres:PostgresDb",
    "db.postgres:AsyncPostgresDb",
    "registry:Registry",
    "workflow.types:StepRequirement",
    "workflow.types:ErrorRequirement",
    "db.in_memory:InMemoryDb",
    "utils.pprint:pprint_run_response",
)
METHODS = {
    "workflow:Workflow": (
        "run",
        "arun",
        "continue_run",
        "acontinue_run",
        "cancel_run",
        "acancel_run",
        "get_run",
        "aget_run",
        "get_run_output",
        "aget_run_output",
        "get_last_run_output",
        "aget_last_run_output",
        "get_session",
        "aget_session",
        "get_session_state",
        "aget_session_state",
        "get_session_name",
        "aget_session_name",
        "set_session_name",
        "aset_session_name",
        "get_session_metrics",
        "aget_session_metrics",
        "get_chat_history",
        "aget_chat_history",
        "update_session_state",
        "aupdate_session_state",
        "save_session",
        "asave_session",
        "delete_session",
        "adelete_session",
        "read_or_create_session",
        "aread_or_create_session",
        "print_response",
        "aprint_response",
        "cli_app",
        "acli_app",
        "deep_copy",
        "to_dict",
        "from_dict",
    ),
    **{
        f"workflow:{name}": ("execute", "aexecute", "execute_stream", "aexecute_stream", "to_dict", "from_dict")
        for name in ("Step", "Steps", "Loop", "Parallel", "Condition", "Router")
    },
    "workflow:StepInput": (
        "get_input_as_string",
        "get_step_output",
        "get_step_content",
        "get_all_previous_content",
        "get_last_step_content",
        "get_workflow_history",
        "get_workflow_history_context",
        "to_dict",
    ),
    "workflow:StepOutput": ("to_dict", "from_dict"),
    "workflow:HumanReview": ("to_dict", "from_dict"),
    "workflow.types:UserInputField": ("to_dict", "from_dict"),
    "workflow.types:StepRequirement": (
        "confirm",
        "reject",
        "edit",
        "set_user_input",
        "get_user_input",
        "select",
        "select_single",
        "select_multiple",
        "to_dict",
        "from_dict",
    ),
    "workflow.types:ErrorRequirement": ("retry", "skip", "to_dict", "from_dict"),
}
ENUMS = ("run:RunStatus", "run.workflow:WorkflowRunEvent", "run.agent:RunEvent", "run.team:TeamRunEvent",
         "workflow:OnError", "workflow:OnReject", "workflow:OnTimeout", "workflow.types:StepType")  # fmt: skip


def _find(root: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{root}.{module}"), name)


def _parameters(function: Any) -> list[list[Any]]:
    """[name, kind, default] of each parameter; a default that JSON cannot say is "..."."""
    found: list[list[Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        default = parameter.default
        if isinstance(default, Enum):
            default = default.value
        if default is inspect.Parameter.empty:
            default = "required"
        elif not (default is None or isinstance(default, (str, int, float, bool))):
            default = "..."
        found.append([parameter.name, parameter.kind.name, default])
    return found


def _names(root: str, module: str) -> list[str]:
    found = importlib.import_module(f"{root}.{module}")
    public = getattr(found, "__all__", None)
    if public is None:
        public = [
            name
            for name, value in vars(found).items()
            if not name.startswith("_") and getattr(value, "__module__", "").startswith(f"{root}.{module}")
        ]
    return sorted(public)


def collect(root: str) -> dict[str, Any]:
    """What the library at ``root`` ("agno", or this package's layer) offers."""
    parameters: dict[str, Any] = {place: _parameters(_find(root, place)) for place in CALLABLES}
    for place, methods in METHODS.items():
        for method in methods:
            found = getattr(_find(root, place), method, None)
            parameters[f"{place}.{method}"] = _parameters(found) if found is not None else None
    return {
        "names": {module: _names(root, module) for module in MODULES},
        "parameters": parameters,
        "enums": {place: {item.name: item.value for item in _find(root, place)} for place in ENUMS},
    }
