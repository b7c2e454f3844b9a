"""agno's modules, names, parameters and enum members are there, in agno's order; what is not is listed with a reason.

What agno offers was recorded with the real library (``record.py``, ``signatures.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .signatures import collect

THEIRS: dict[str, Any] = json.loads((Path(__file__).parent / "signatures.json").read_text())
OURS = collect("workflow_runtime.compat.agno")

# Names of agno that are not here, by why.
ABSENT = {
    "agents, teams and their sessions": {
        "AgentSession",
        "Followups",
        "RunInput",
        "Session",
        "SessionSummaryManager",
        "TaskData",
        "TeamRunInput",
        "TeamSession",
        "WorkflowAgent",
        "run_output_event_from_dict",
        "team_run_output_event_from_dict",
    },
    "a service of its own: components in a database, remote workflows": {
        "ComponentType",
        "RemoteWorkflow",
        "UnresolvableCallableError",
        "WorkflowFactory",
        "WorkflowLinkCollisionError",
        "get_workflow_by_id",
        "get_workflows",
    },
    "agno's machinery, which users do not import": {
        "BaseRunCancellationManager",
        "F",
        "InMemoryRunCancellationManager",
        "acleanup_member_runs",
        "acleanup_run",
        "adrain_member_tasks",
        "aget_active_runs",
        "aget_member_run_ids",
        "ais_cancelled",
        "araise_if_cancelled",
        "aregister_member_run",
        "aregister_run",
        "cleanup_member_runs",
        "cleanup_run",
        "evaluate_cel_condition_evaluator",
        "evaluate_cel_loop_end_condition",
        "evaluate_cel_router_selector",
        "get_cancellation_manager",
        "get_member_run_ids",
        "raise_if_cancelled",
        "register_member_drain_task",
        "register_member_run",
        "register_run",
        "set_cancellation_manager",
        "validate_human_review_for_condition",
        "validate_human_review_for_loop",
        "validate_human_review_for_parallel",
        "validate_human_review_for_router",
        "validate_human_review_for_step",
        "validate_human_review_for_steps",
        "warn_session_state_param_deprecated",
        "ContinueExecutionState",
        "StepPauseResult",
        "apply_executor_pause",
        "apply_pause_state",
        "get_last_executor_run",
        "is_executor_pause",
        "resolve_executor_pause",
        "apply_post_execution_pause_state",
        "asave_paused_session",
        "check_output_review_status",
        "create_executor_paused_event",
        "create_router_paused_event",
        "create_step_paused_event",
        "finalize_workflow_completion",
        "save_paused_session",
        "step_pause_status",
    },
}
# How many leading positional parameters are agno's, where not all of them are.
POSITIONAL = {
    "workflow:StepOutput": 0,  # the content comes first
    "workflow:Workflow.run": 12,  # from background on by keyword
    "db.sqlite:SqliteDb": 4,  # names of tables by keyword
    "db.sqlite:AsyncSqliteDb": 4,
    "db.postgres:PostgresDb": 4,
    "db.postgres:AsyncPostgresDb": 5,
    "registry:Registry": 0,  # by keyword
    "workflow.types:StepRequirement": 0,
    "workflow.types:ErrorRequirement": 0,
    "workflow:Steps.execute_stream": 1,  # agno's orders differ by class: by keyword from the fourth on
    "workflow:Steps.aexecute_stream": 1,
}
INNER = {"requires_iteration_review_pause", "step_input"}  # agno's own notes on an output, on a failure
DIRECT = ("execute", "aexecute", "execute_stream", "aexecute_stream")


@pytest.mark.parametrize("module", sorted(THEIRS["names"]))
def test_a_module_has_the_names_of_agno(module: str) -> None:
    absent = set().union(*ABSENT.values())
    assert set(THEIRS["names"][module]) - set(OURS["names"][module]) - absent == set()


@pytest.mark.parametrize("place", sorted(THEIRS["parameters"]))
def test_a_callable_takes_the_arguments_of_agno(place: str) -> None:
    ours = OURS["parameters"][place]
    theirs = THEIRS["parameters"][place]
    names = {name for name, _, _ in ours}
    if not any(kind == "VAR_KEYWORD" for _, kind, _ in ours):
        wanted = {name for name, kind, _ in theirs if not kind.startswith("VAR_")}
        assert wanted - names - INNER == set()
    order = [name for name, kind, _ in theirs if kind == "POSITIONAL_OR_KEYWORD"]
    same = POSITIONAL.get(place, 3 if place.rpartition(".")[2] in DIRECT else len(order))
    assert [name for name, kind, _ in ours if kind == "POSITIONAL_OR_KEYWORD"][:same] == order[:same]


def test_defaults_are_those_of_agno() -> None:
    differing: dict[str, dict[str, tuple[Any, Any]]] = {}
    for place, theirs in THEIRS["parameters"].items():
        ours = {name: default for name, _, default in OURS["parameters"][place]}
        for name, _, default in theirs:
            if name in ours and default != "required" and ours[name] != default:
                differing.setdefault(place, {})[name] = (default, ours[name])
    # None means: skip at the top, and what the container decides inside of one, as agno does whatever is given.
    assert differing == {
        "workflow:HumanReview": {"on_error": ("skip", None)},
        "workflow:Step": {"on_error": ("skip", None)},
        "workflow.types:ErrorRequirement": {"error_message": ("", None)},
        "registry:Registry": {"id": ("...", None)},  # agno makes one
    }


@pytest.mark.parametrize("place", sorted(THEIRS["enums"]))
def test_an_enum_has_the_members_of_agno(place: str) -> None:
    never_published = {"condition_paused"}
    ours = OURS["enums"][place]
    for name, value in THEIRS["enums"][place].items():
        assert name in never_published or ours[name] == value
