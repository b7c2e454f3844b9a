"""The input and the output of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from .checks import nearest
from .errors import StepNotFound
from .kinds import shape_of
from .media import Audio, File, Image, Video
from .metrics import RunMetrics
from .text import as_text, is_something, shown

if TYPE_CHECKING:
    from .session import WorkflowSession

__all__ = [
    "Lookup",
    "StepInput",
    "StepOutput",
    "WorkflowExecutionInput",
    "branching",
    "deepest",
    "handed_on",
    "last_effective",
    "last_made",
    "ran_nothing",
]


class StepOutput(msgspec.Struct, omit_defaults=True):
    """The outcome of one node. ``content`` is the step's return value, with its type; ``steps`` are a container's inner
    outputs; ``stop=True`` ends the enclosing workflow after this step.

    ``skipped``: a person declined, so this step has no output, and later steps continue from the output before it.
    ``cancelled``: the step was ended alone, by ``cancel_step``; ``steps`` are what had ended inside. ``path`` is only set in
    a run's ``failed_steps``.
    """

    content: Any = None
    step_name: str | None = None
    step_id: str | None = None
    step_type: str | None = None
    executor_type: str | None = None
    executor_name: str | None = None
    step_run_id: str | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    metrics: RunMetrics | None = None
    success: bool = True
    error: str | None = None
    stop: bool = False
    is_paused: bool = False
    steps: list[StepOutput] | None = None
    skipped: bool = False
    path: str | None = None
    cancelled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able builtins; ``steps``, ``skipped`` and ``cancelled`` only if they are set."""
        data: dict[str, Any] = {
            name: shown(getattr(self, name))
            for name in self.__struct_fields__
            if name not in ("steps", "skipped", "path", "cancelled")
        }
        if self.path is not None:
            data["path"] = self.path
        if self.steps:
            data["steps"] = [inner.to_dict() for inner in self.steps]
        if self.skipped:
            data["skipped"] = True
        if self.cancelled:
            data["cancelled"] = True
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any], types: Iterable[type] | None = None) -> StepOutput:
        """The output that ``to_dict`` described. Its content is plain JSON; with ``types`` (which may be empty) tagged
        values in it become builtin types, and instances of those classes.

        Raises:
            ValueError: It does not fit.
        """
        from .foreign import converted

        return converted(data, cls, types)

    def walk(self) -> Iterator[StepOutput]:
        """This output, then every nested one, depth first in declared order."""
        yield self
        for inner in self.steps or ():
            yield from inner.walk()


def deepest(output: StepOutput | None) -> Any:
    """The content of the last leaf: of a container's last inner output, and so on down.

    A nested workflow has its own content: if it is a function, that is not the content of its last step.
    """
    while output is not None and output.steps and output.step_type != "Workflow":
        output = last_made(output.steps)
    return output.content if output is not None else None


def last_made(outputs: Iterable[StepOutput]) -> StepOutput | None:
    """The last one that a person did not skip; the last one if all were skipped; None of none."""
    last = None
    for output in outputs:
        if last is None or not output.skipped or last.skipped:
            last = output
    return last


def ran_nothing(output: StepOutput) -> bool:
    """True for a container of which no step ran: a false Condition, a Map over no items."""
    return output.steps is not None and shape_of(output.step_type) is not None and all(map(ran_nothing, output.steps))


def last_effective(outputs: Iterable[StepOutput]) -> StepOutput | None:
    """As ``last_made``, without the containers that ran nothing, unless there is nothing else."""
    known = list(outputs)
    return last_made([output for output in known if not ran_nothing(output)] or known)


def branching(output: StepOutput) -> StepOutput:
    """Where ``output`` ends: the last of its steps, and so on down to a Parallel, a Map or a leaf."""
    while output.steps and shape_of(output.step_type) not in (None, "branches", "items"):
        output = last_effective(output.steps) or output
    return output


def handed_on(output: StepOutput) -> Any:
    """The value that later steps get: for a Parallel a dict of branch name -> content, for a Map a dict of the step's name
    -> list of contents, for another container the value of its last step. Contents have their types."""
    end = branching(output)
    if not end.steps:
        return end.content
    shape = shape_of(end.step_type)
    if shape == "branches":
        return {inner.step_name or f"branch_{i}": handed_on(inner) for i, inner in enumerate(end.steps)}
    if shape == "items":
        return {end.steps[0].step_name or "step": [handed_on(inner) for inner in end.steps]}
    return end.content


class Lookup(msgspec.Struct, frozen=True):
    """How the steps of a workflow look up earlier outputs. ``names``: of all steps; None: not known before they run.
    ``as_agno``: branches are texts, a name that does not exist has no output, a container that ran nothing has its text."""

    names: frozenset[str] | None = None
    as_agno: bool = False


class StepInput(msgspec.Struct):
    """The input of a step: the run's input, the outputs of earlier steps, and the media so far.

    ``previous_step_outputs`` maps step names to outputs in execution order. It is shared by the steps of one
    sequence: read it, do not change it.
    """

    input: Any = None
    previous_step_content: Any = None
    previous_step_outputs: dict[str, StepOutput] | None = None
    additional_data: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    workflow_session: Any = None  # a WorkflowSession; Any, since a session holds runs that hold steps
    num_history_runs: int | None = None  # the step's, else the workflow's
    lookup: Lookup | None = None

    def get_input_as_string(self) -> str | None:
        """The run's input as text; JSON for models, dicts and lists; None if there is none."""
        return as_text(self.input)

    def get_step_output(self, step_name: str) -> StepOutput | None:
        """The output of the step of that name, nested ones included; None if it has not run.

        Raises:
            StepNotFound: The workflow has no step of that name, or several that ran in different places.
        """
        outputs = self.previous_step_outputs or {}
        if self._as_agno and step_name in outputs:
            return outputs[step_name]
        hits = list(_named(step_name, outputs.values())) or list(_named(step_name, outputs.values(), nested=True))
        if not hits:
            self._check(step_name)
            return None
        places = dict.fromkeys(place for place, _ in hits)
        if len(places) > 1 and not self._as_agno:
            raise StepNotFound(
                f"several steps are named {step_name!r}: {', '.join('/'.join(place) for place in places)}; give each a"
                " name of its own to look them up"
            )
        return hits[0][1]

    @property
    def _as_agno(self) -> bool:
        return self.lookup is not None and self.lookup.as_agno

    def _check(self, step_name: str) -> None:
        names = self.lookup.names if self.lookup is not None else None
        if names is not None and step_name not in names:
            steps = ", ".join(sorted(names))
            raise StepNotFound(f"the workflow has no step {step_name!r}; it has {steps}{nearest(step_name, names)}")

    def get_step_content(self, step_name: str) -> Any:
        """The content of that step: a dict of branch name to content for a Parallel, of the step's name to the list of
        contents for a Map, the deepest last leaf for another container, the content itself otherwise; None if it has not
        run.

        Raises:
            StepNotFound: As ``get_step_output``.
        """
        output = self.get_step_output(step_name)
        if output is None:
            return None
        if not self._as_agno:
            return handed_on(output)
        if shape_of(output.step_type) == "branches" and output.steps:
            return {inner.step_name or f"branch_{i}": as_text(deepest(inner)) for i, inner in enumerate(output.steps)}
        return deepest(output) if output.steps else output.content

    def get_all_previous_content(self) -> str:
        """Each earlier step as ``=== name ===`` and its content, joined by blank lines."""
        outputs = self.previous_step_outputs or {}
        return "\n\n".join(
            f"=== {name} ===\n{as_text(output.content)}"
            for name, output in outputs.items()
            if is_something(output.content)
        )

    def get_last_step_content(self) -> Any:
        """The content of the step that ran last, as ``previous_step_content`` has it; None at the first step."""
        outputs = (self.previous_step_outputs or {}).values()
        if self._as_agno:
            return deepest(last_made(outputs))
        last = last_effective(outputs)
        return handed_on(last) if last is not None else None

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """(input, response) of the last completed runs of the session, oldest first.

        ``num_runs`` None: the step's ``num_history_runs``, else the workflow's, else all. The list is empty unless the step
        (``add_workflow_history``) or the workflow (``add_workflow_history_to_steps``) requests the history, and never
        longer than the largest of these numbers.
        """
        session: WorkflowSession | None = self.workflow_session
        return session.get_workflow_history(self._runs(num_runs)) if session else []

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """The same as one text for a prompt; None if there is none."""
        session: WorkflowSession | None = self.workflow_session
        return session.get_workflow_history_context(self._runs(num_runs)) if session else None

    def _runs(self, num_runs: int | None) -> int | None:
        return self.num_history_runs if num_runs is None else num_runs

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able builtins, without the session."""
        own = ("previous_step_outputs", "workflow_session", "num_history_runs", "lookup")
        data: dict[str, Any] = {name: shown(getattr(self, name)) for name in self.__struct_fields__ if name not in own}
        outputs = self.previous_step_outputs or {}
        return {**data, "previous_step_outputs": {name: output.to_dict() for name, output in outputs.items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any], types: Iterable[type] | None = None) -> StepInput:
        """The input that ``to_dict`` described; ``types`` and ValueError as of ``StepOutput.from_dict``."""
        from .foreign import converted

        known = {k: v for k, v in data.items() if k != "workflow_session"} if isinstance(data, dict) else data
        return converted(known, cls, types)


def _named(
    name: str, outputs: Iterable[StepOutput], inside: tuple[str, ...] = (), *, nested: bool = False
) -> Iterator[tuple[tuple[str, ...], StepOutput]]:
    """(names of the containers and the step, output) of each output of that name, outermost first. ``nested``: also those
    of nested workflows, which have names of their own."""
    for output in outputs:
        place = (*inside, output.step_name or "")
        if output.step_name == name:
            yield place, output
        if output.steps and (nested or output.step_type != "Workflow"):
            yield from _named(name, output.steps, place, nested=nested)


class WorkflowExecutionInput(msgspec.Struct):
    """The input of a run, as a callable workflow gets it."""

    input: Any = None
    additional_data: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None

    def get_input_as_string(self) -> str | None:
        return as_text(self.input)

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = shown({k: getattr(self, k) for k in self.__struct_fields__})
        return {k: v for k, v in data.items() if v is not None}
