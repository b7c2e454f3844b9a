"""Router: a function, an expression or a person chooses which steps run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..core.binding import STEP_NAMES, bind, callable_name
from ..core.cel import CelExpression, compile_cel
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import Record
from ..core.plan import Node
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.errors import BuildError
from ..model.review import HumanReview
from ..model.step_io import StepOutput
from .container import ContainerNode, run_placed
from .frame import Frame
from .reviewing import reviewed
from .step import allow_guards

__all__ = ["Router", "RouterNode"]


class Router:
    """Runs the selected ones of ``choices``, one after the other.

    ``selector`` gets the step input (and, by name, ``run_context``, ``session_state``, ``step_choices``) and returns a
    name, one of the choices, a list of these, or None for nothing; or it is a CEL expression for a name. A step that the
    selector creates itself selects the choice of the same name. A selection that is not among the choices is an error. With
    ``requires_user_input`` a person chooses.
    """

    node_class: ClassVar[type[RouterNode]]  # its node class in a plan; a subclass may set another

    @checks.suggesting
    def __init__(
        self,
        choices: Sequence[Any] = (),
        selector: Callable[..., Any] | str | None = None,
        name: str | None = None,
        description: str | None = None,
        requires_user_input: bool = False,
        user_input_message: str | None = None,
        allow_multiple_selections: bool = False,
        user_input_schema: Any = None,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "skip",
        requires_output_review: Any = False,
        output_review_message: str | None = None,
        hitl_max_retries: int = 3,
        human_review: HumanReview | None = None,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.name = checks.identifier(name, "name", "Router: ")
        self.description = checks.text(description, "description", f"Router {name!r}: ")
        self.choices = list(choices)
        self.selector = selector
        self.allow_multiple_selections = allow_multiple_selections
        self.timeout = checks.seconds(timeout, "timeout", f"Router {name!r}: ")
        self.budget = checks.budget(budget, f"Router {name!r}: ")
        self.human_review = human_review or HumanReview(
            requires_user_input=requires_user_input,
            user_input_message=user_input_message,
            user_input_schema=user_input_schema,
            requires_confirmation=requires_confirmation,
            confirmation_message=confirmation_message,
            on_reject=on_reject,
            requires_output_review=requires_output_review,
            output_review_message=output_review_message,
            max_retries=hitl_max_retries,
        )
        allow_guards(
            self.human_review,
            "Router",
            name,
            ("requires_confirmation", "requires_user_input", "requires_output_review"),
        )
        self.check()

    def check(self) -> None:
        """BuildError: no choices, or no selector."""
        if not self.choices:
            raise BuildError(f"Router {self.name!r} has no choices; give it at least one step")
        if self.selector is None and not self.human_review.requires_user_input:
            raise BuildError(
                f"Router {self.name!r}: give it a selector=, or requires_user_input=True to let a person choose"
            )


class RouterNode(ContainerNode):
    __slots__ = ("declared", "offered", "select")
    kind = "Router"
    completed = ev.RouterExecutionCompletedEvent

    def __init__(self, declared: Router, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared
        self.offered = {child.name: child for child in self.children}
        selector = declared.selector
        where = f"Router {self.name!r}"
        self.select: Any = selector
        if isinstance(selector, str):
            self.select = compile_cel(selector, where)
        elif selector is not None:
            self.select = bind(selector, supplied=(*STEP_NAMES, "step_choices"), default="step_input", where=where)

    def ask(self, frame: Frame, path: str, flow: Flow) -> Verdict | None:
        review = self.review
        if review is None:
            return None
        rejected = "!" in path.rpartition("/")[2]  # the earlier selection: now a person chooses, whoever did so before
        if not (review.requires_user_input or rejected):
            return frame.ask_before(self, path, flow) if review.requires_confirmation else None
        return frame.ask_before(
            self,
            path,
            flow,
            requires_confirmation=review.requires_confirmation and not rejected,
            requires_route_selection=True,
            available_choices=list(self.offered),
            allow_multiple_selections=self.declared.allow_multiple_selections,
        )

    async def execute(self, frame: Frame, flow: Flow) -> StepOutput:
        output = await super().execute(frame, flow)
        review = self.review
        if review is None or not review.requires_output_review:
            return output

        async def again(place: str, verdict: Verdict) -> StepOutput:
            return await self.run_at(place, frame, flow.fork(additional=verdict.additional))

        choices = list(self.offered)
        return await reviewed(self, frame, frame.prefix + self.segment, output, again, available_choices=choices)

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        if record is None:
            if verdict is not None and verdict.action == "choose":
                chosen: list[str] = list(verdict.choices)
            else:
                chosen = await self._choose(frame, flow, path)
            frame.emit(ev.RouterExecutionStartedEvent, self, path, selected_steps=chosen)
            frame.enter(self, path, chosen)
        else:
            chosen = list(record.decision or ())
        results = await run_placed(self._places(frame, path, chosen), flow.fork(), self.stand_in)
        said = "" if chosen else " (no steps selected)"
        text = f"Router {self.name} completed with {len(results)} results{said}"
        return self.result(text, results), {
            "selected_steps": chosen,
            "executed_steps": len(results),
            "step_results": results,
        }

    def _places(self, frame: Frame, path: str, chosen: Sequence[str]) -> list[tuple[Node, Frame]]:
        """The selected nodes with their frames. A choice that is selected again gets its own path, with ``#1`` at the
        router, like the second iteration of a loop: each execution has its own outcome in the journal. (D7)"""
        inner = frame.below(path)
        places: list[tuple[Node, Frame]] = []
        times: dict[str, int] = {}
        for name in chosen:
            before = times.get(name, 0)
            times[name] = before + 1
            place = inner if before == 0 else frame.below(f"{path}#{before}", path)
            places.append((self.offered[name], place))
        return places

    async def _choose(self, frame: Frame, flow: Flow, path: str) -> list[str]:
        step_input = flow.step_input()
        if isinstance(self.select, CelExpression):
            found = self.select(frame.variables(step_input, list(self.offered)))
        else:
            found = await frame.call(self.select, self, path, step_input, step_choices=self.step_choices())
        names = [self.name_of(item) for item in _flat(found)]
        return [name for name in names if name is not None]

    def step_choices(self) -> list[Any]:
        """The names of the choices, which a selector gets as ``step_choices``."""
        return list(self.offered)

    def name_of(self, item: Any) -> str | None:
        """The name of the choice that the selector means; None drops it (a subclass may). ValueError: not offered."""
        for name, node in self.offered.items():
            if item == name or _is_choice(item, self.declared.choices, node, self.children):
                return name
        own = getattr(item, "name", None)
        if isinstance(own, str) and own in self.offered:  # a step that the selector created
            return own
        wanted = item if isinstance(item, str) else own or repr(item)
        raise ValueError(f"Router {self.name!r} chose {wanted!r}, which is not offered; choices: {list(self.offered)}")


def _is_choice(item: Any, declared: Sequence[Any], node: Node, children: Sequence[Node]) -> bool:
    if isinstance(item, str):
        return False
    position = children.index(node)
    choice = declared[position]
    return (
        item is choice
        or item is getattr(node, "declared", choice)
        or (callable(item) and callable(choice) and callable_name(item) == node.name)
    )


def _flat(found: Any) -> list[Any]:
    if found is None:
        return []
    if isinstance(found, (list, tuple)):
        return [inner for item in found for inner in _flat(item)]
    return [found]


Router.node_class = RouterNode
