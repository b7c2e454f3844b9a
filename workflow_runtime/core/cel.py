"""Expressions in the Common Expression Language for conditions, loop ends and routers, compiled once in the plan.

Two packages claim the module name ``cel``; this one is ``common-expression-language`` (extra ``[cel]``).
"""

from __future__ import annotations

import re
from typing import Any

from ..model.errors import BuildError
from ..model.step_io import StepInput, StepOutput
from ..model.text import as_text, builtins
from ..model.unreadable import unreadables

__all__ = ["CelExpression", "compile_cel", "condition_variables", "loop_variables", "validate_cel_expression"]


class CelExpression:
    """A compiled expression. Calling it with the variables gives the result."""

    __slots__ = ("_program", "source")

    def __init__(self, source: str, program: Any) -> None:
        self.source = source
        self._program = program

    def __call__(self, variables: dict[str, Any]) -> Any:
        for name, value in getattr(variables, "unreadable", {}).items():
            if re.search(rf"\b{re.escape(name)}\b", self.source):
                bool(value)  # raises: the expression needs it
        return self._program.execute(dict(variables))

    def __repr__(self) -> str:
        return f"CelExpression({self.source!r})"


def compile_cel(source: str, where: str) -> CelExpression:
    """Compile, or BuildError: the package is missing, or the expression is wrong (with the parser's mark)."""
    try:
        import cel
    except ImportError as error:
        raise BuildError(
            f"{where}: the expression {source!r} needs the package common-expression-language:"
            " pip install 'workflow-runtime[cel]', or pass a function"
        ) from error
    try:
        return CelExpression(source, cel.compile(source))
    except ValueError as error:
        raise BuildError(f"{where}: {source!r} is not a valid CEL expression: {error}") from error


def validate_cel_expression(source: str) -> bool:
    """True if ``source`` compiles. BuildError if the package is missing."""
    try:
        compile_cel(source, "validate_cel_expression")
    except BuildError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        return False
    return True


class _Variables(dict[str, Any]):
    """The names that an expression can use. ``unreadable``: the values of the session state that cannot be read, by key."""

    def __init__(self, session_state: dict[str, Any], **variables: Any) -> None:
        super().__init__(**variables, session_state=builtins(session_state))
        self.unreadable = {key: found[0] for key, value in session_state.items() if (found := unreadables(value))}


def condition_variables(
    step_input: StepInput, session_state: dict[str, Any], step_choices: list[str] | None = None
) -> dict[str, Any]:
    """The names that conditions and routers can use."""
    variables = _Variables(
        session_state,
        input=as_text(step_input.input) or "",
        previous_step_content=as_text(step_input.previous_step_content) or "",
        previous_step_outputs={
            name: as_text(output.content) or "" for name, output in (step_input.previous_step_outputs or {}).items()
        },
        additional_data=builtins(step_input.additional_data or {}),
    )
    if step_choices is not None:
        variables["step_choices"] = step_choices
    return variables


def loop_variables(
    iteration: int, max_iterations: int, outputs: list[StepOutput], session_state: dict[str, Any]
) -> dict[str, Any]:
    """The names that a loop's end condition can use; ``iteration`` counts from 1 and has just finished."""
    return _Variables(
        session_state,
        current_iteration=iteration,
        max_iterations=max_iterations,
        all_success=all(output.success for output in outputs),
        last_step_content=(as_text(outputs[-1].content) or "") if outputs else "",
        step_outputs={output.step_name or str(i): as_text(output.content) or "" for i, output in enumerate(outputs)},
    )
