"""The reference page itself: every name on it is in a signature, and has a test that is named for it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import Workflow

# The table of the page: name and default.
PARAMETERS: dict[str, Any] = {
    "name": None,
    "id": None,
    "description": None,
    "steps": None,
    "db": None,
    "session_id": None,
    "user_id": None,
    "session_state": None,
    "debug_mode": False,
    "stream": None,
    "stream_events": False,
    "stream_executor_events": True,
    "store_events": False,
    "events_to_skip": None,
    "store_executor_outputs": True,
    "websocket_handler": None,
    "input_schema": None,
    "metadata": None,
    "add_workflow_history_to_steps": False,
    "num_history_runs": None,
    "cache_session": False,
    "telemetry": True,
}

_RUN = (
    "input",
    "additional_data",
    "user_id",
    "session_id",
    "session_state",
    "audio",
    "images",
    "videos",
    "files",
    "stream",
    "stream_events",
)
_CONTINUE = ("run_response", "run_id", "session_id", "step_requirements", "stream", "stream_events")

# The functions of the page and their parameters.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "run": _RUN,
    "arun": (*_RUN, "background", "websocket"),
    "continue_run": _CONTINUE,
    "acontinue_run": _CONTINUE,
    "cancel_run": ("run_id",),
    "get_run": ("run_id",),
    "get_run_output": ("run_id", "session_id"),
    "get_last_run_output": ("session_id",),
    "get_chat_history": ("session_id", "last_n_runs"),
    "get_session": ("session_id",),
    "get_session_state": ("session_id",),
    "get_session_name": ("session_id",),
    "set_session_name": ("session_id", "autogenerate", "session_name"),
    "get_session_metrics": ("session_id",),
    "delete_session": ("session_id",),
    "save_session": ("session",),
    "to_dict": (),
}

# agno has an async twin of each of these.
TWINS = tuple(name for name in FUNCTIONS if not name.startswith("a") and name != "to_dict")

# The rows whose tests have another name than test_<function>_<parameter>...
NAMED_OTHERWISE: dict[tuple[str, str], str] = {
    **{("run", kind): "run_media_reach_the_steps" for kind in ("audio", "images", "videos", "files")},
    **{("arun", name): f"run_{name}" for name in _RUN},  # the launch and api fixtures run those as arun too
    **{("arun", kind): "run_media_reach_the_steps" for kind in ("audio", "images", "videos", "files")},
    ("arun", "websocket"): "websocket_gets_one_json_frame_per_event",
    **{("acontinue_run", name): f"continue_run_{name}" for name in _CONTINUE},  # the api fixture
    ("cancel_run", "run_id"): "cancel_run_ends_a_running_run",
    ("get_run", "run_id"): "get_run_needs_no_session_id",
    ("get_run_output", "run_id"): "get_run_output_is_what_the_run_returned",
    ("get_last_run_output", "session_id"): "get_last_run_output_is_the_newest_of_the_session",
    ("get_chat_history", "session_id"): "get_chat_history_has_the_input_and_output_of_each_run",
    ("get_session", "session_id"): "get_session_gives_the_session_with_its_runs",
    ("get_session_state", "session_id"): "get_session_state_is_what_the_runs_left",
    ("get_session_name", "session_id"): "get_session_name_is_empty_until_one_is_set",
    ("get_session_metrics", "session_id"): "get_session_metrics_sums_every_counter",
    ("set_session_name", "session_id"): "set_session_name_session_name_gives_the_updated_session",
    ("delete_session", "session_id"): "delete_session_deletes_it_with_its_runs",
    ("save_session", "session"): "save_session_stores_name_metadata_and_state",
}


def names_of_tests() -> set[str]:
    """The tests of this directory, without ``test_``."""
    found: set[str] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found.add(node.name.removeprefix("test_"))
    return found


TESTS = names_of_tests()


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {name: found for name, found in inspect.signature(function).parameters.items() if name != "self"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_of_the_page_can_be_given_and_has_the_default_of_the_page(name: str) -> None:
    found = parameters(Workflow.__init__)
    assert name in found
    assert found[name].default == PARAMETERS[name]
    assert found[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def test_the_parameters_stand_in_the_order_of_the_page() -> None:
    found = [name for name in parameters(Workflow.__init__) if name in PARAMETERS]
    assert found == list(PARAMETERS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_page_has_the_parameters_of_the_page(name: str) -> None:
    found = parameters(getattr(Workflow, name))
    assert [each for each in found if each in FUNCTIONS[name]] == list(FUNCTIONS[name])
    required = [each for each in FUNCTIONS[name] if found[each].default is inspect.Parameter.empty]
    assert required == [each for each in ("run_id", "session") if FUNCTIONS[name][:1] == (each,)] or (
        name == "delete_session" and required == ["session_id"]
    )


@pytest.mark.parametrize("name", TWINS)
def test_every_function_has_an_async_twin_with_the_same_parameters(name: str) -> None:
    own, twin = parameters(getattr(Workflow, name)), parameters(getattr(Workflow, f"a{name}"))
    named = {each for each, found in own.items() if found.kind is not inspect.Parameter.VAR_KEYWORD}
    if named != set(own):  # run and continue_run take the rest of their twin's as keywords
        assert named <= set(twin)
    else:
        assert [(each, found.default) for each, found in own.items()] == [
            (each, found.default) for each, found in twin.items()
        ]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_of_the_page_has_a_test_that_is_named_for_it(name: str) -> None:
    rivals = [other for other in PARAMETERS if other.startswith(f"{name}_")]
    own = [
        test for test in TESTS if test.startswith(f"{name}_") and not test.startswith(tuple(f"{r}_" for r in rivals))
    ]
    if name == "websocket_handler":
        own = [test for test in TESTS if test.startswith("websocket_handler_")]
    assert own


ROWS = [(function, parameter) for function, names in FUNCTIONS.items() for parameter in names]


@pytest.mark.parametrize(("function", "parameter"), ROWS)
def test_every_parameter_of_a_function_has_a_test_that_is_named_for_it(function: str, parameter: str) -> None:
    prefix = NAMED_OTHERWISE.get((function, parameter), f"{function}_{parameter}_")
    assert any(test.startswith(prefix) for test in TESTS), prefix


def test_every_function_of_the_page_has_a_test_that_is_named_for_it() -> None:
    assert [name for name in FUNCTIONS if not any(test.startswith(f"{name}_") for test in TESTS)] == []


def test_no_name_on_this_list_is_stale() -> None:
    assert [row for row in NAMED_OTHERWISE if row[1] not in FUNCTIONS[row[0]]] == []
