"""Steps as data in agno's form, and back: callables by their ``__name__``, agents by their id.

``Component`` is what all step classes of the layer share: this, and running alone (``Direct``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, ClassVar, Self

from workflow_runtime.model.errors import BuildError
from workflow_runtime.steps.build import executor_kind, is_executor
from workflow_runtime.steps.parallel import Map
from workflow_runtime.verbs.base import Verbs
from workflow_runtime.verbs.describe import describe as describe_strict
from workflow_runtime.verbs.rebuild import Rebuild
from workflow_runtime.verbs.registry import Registry

from ._direct import Direct
from ._review import HumanReview, review_of
from .cel import is_cel_expression

__all__ = ["KINDS", "Component", "Rebuilder", "describe", "identity", "reference"]

KINDS: dict[str, type[Component]] = {}  # the step classes by name
_CALLABLES = ("evaluator", "selector", "end_condition")
_LISTS = ("steps", "else_steps", "choices")


def reference(item: Any) -> str:
    """The name of a callable or class in the data: its ``__name__``; of an object, that of its class."""
    if isinstance(item, functools.partial):
        return reference(item.func)
    return str(getattr(item, "__name__", None) or type(item).__name__)


def strict_kinds() -> Mapping[str, Any]:
    """The step classes of ``workflow_runtime`` itself."""
    from workflow_runtime.workflow import Workflow

    return Workflow.kinds


def identity(executor: Any) -> str:
    return str(getattr(executor, "id", None) or getattr(executor, "name", None) or type(executor).__name__)


def describe(item: Any) -> dict[str, Any]:
    """Whatever stands where a step does. What agno leaves out (a bare function, a list) is there as well."""
    if isinstance(item, Component):
        return item.to_dict()
    if isinstance(item, Verbs):
        return {"type": "Workflow", **item.to_dict()}
    if isinstance(item, (list, tuple)):
        return {"type": "List", "steps": [describe(inner) for inner in item]}
    if hasattr(item, "node_class"):
        return {**describe_strict(item), "strict": True}
    if is_executor(item):
        kind = executor_kind(item).capitalize()
        return {"type": kind, "name": getattr(item, "name", None), f"{kind.lower()}_id": identity(item)}
    return {"type": "Function", "executor_ref": reference(item)}


class Component(Direct):
    """A step class of this layer: ``to_dict`` and ``from_dict`` in agno's form, and running by itself."""

    plain: ClassVar[tuple[str, ...]] = ()  # the attributes with a plain value, besides name and description
    extra: ClassVar[dict[str, Any]] = {"timeout": None}  # what agno does not know, written where it is not the default

    human_review: Any = property(
        attrgetter("_review"), lambda self, review: setattr(self, "_review", review_of(review))
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        KINDS.setdefault(cls.__name__, cls)

    def to_dict(self) -> dict[str, Any]:
        """The component as data that JSON can hold, all that is below it included."""
        data: dict[str, Any] = {"type": next(name for name, kind in KINDS.items() if isinstance(self, kind))}
        for name in ("name", "description", *self.plain):
            data[name] = getattr(self, name)
        for name in _LISTS:
            if hasattr(self, name):
                data[name] = [describe(item) for item in getattr(self, name)]
        for name in _CALLABLES:
            if hasattr(self, name):
                data |= _callable(name, getattr(self, name))
        data |= self._executor()
        data["human_review"] = self.human_review.to_dict()
        for name, default in self.extra.items():
            value = getattr(self, name)
            if value != default:
                data[name] = value
        return data

    def _executor(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        registry: Any = None,
        db: Any = None,
        links: Any = None,
        strict: bool = False,
        branch_suffix: str = "",
    ) -> Self:
        """The component that ``to_dict`` described.

        ``registry`` knows functions, agents and models: a Registry, a mapping of names or a list. A name that it lacks is
        an error at once, whatever ``strict`` says; ``db`` and ``links`` are of agno's component store and have no effect.

        Raises:
            ValueError: A name that the registry lacks, or that there is no registry for; an unknown field.
        """
        made: Any = Rebuilder(registry).component(cls, data)
        return made  # type: ignore[no-any-return]  # of this class


def _callable(name: str, value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, bool):
        return {name: value, f"{name}_type": "bool" if value is not None else None}
    if isinstance(value, str):
        return {name: value, f"{name}_type": "cel"}
    return {name: reference(value), f"{name}_type": "function"}


class Rebuilder(Rebuild):
    """From data to the steps of this layer. ``workflow`` is the class of nested workflows."""

    def __init__(self, registry: Any, workflow: Any = None) -> None:
        self.known = registry is not None
        super().__init__({**KINDS, "Map": Map}, Registry.of(registry), workflow or _workflow(registry))

    def one(self, data: Mapping[str, Any]) -> Any:
        kind = str(data.get("type") or "Step")
        if data.get("strict"):
            own = {name: value for name, value in data.items() if name != "strict"}
            return Rebuild(strict_kinds(), self.registry, self.workflow).one(own)
        if kind in KINDS:
            return self.component(KINDS[kind], data)
        if kind in ("Agent", "Team") and f"{kind.lower()}_id" in data:
            return self.executor(kind.lower(), data[f"{kind.lower()}_id"], f"a {kind.lower()} among the steps")
        if kind == "Function":
            return self.function(data["executor_ref"], "Step executor")
        return super().one(data)

    def component(self, kind: Any, data: Mapping[str, Any]) -> Any:
        """One of the layer's step classes from its data."""
        where = f"{kind.__name__} {data.get('name')!r}"
        fields: dict[str, Any] = {}
        for name, value in data.items():
            if name in _LISTS:
                fields[name] = self.all(value or ())
            elif name in _CALLABLES:
                fields[name] = self._meant(kind, name, value, data.get(f"{name}_type"))
            elif name in ("agent_id", "team_id"):
                fields[name[:-3]] = self.executor(name[:-3], value, where)
            elif name == "executor_ref":
                fields["executor"] = self.function(value, "Step executor")
            elif name == "workflow":
                fields["workflow"] = self.workflow(value)
            elif name == "retry":
                fields["retry"] = self.retry(value, where)
            elif name == "human_review":
                fields["human_review"] = HumanReview.from_dict(value, self.registry) if value else None
            elif name not in ("type", "workflow_id", *(f"{name}_type" for name in _CALLABLES)):
                fields[name] = value
        if "workflow_id" in data and "workflow" not in data:
            fields["workflow"] = self.executor("workflow", data["workflow_id"], where)
        if kind.__name__ == "Parallel":
            return kind(*fields.pop("steps", ()), **self._checked(kind, fields, where))
        return kind(**self._checked(kind, fields, where))

    def _checked(self, kind: Any, fields: dict[str, Any], where: str) -> dict[str, Any]:
        known = set(inspect.signature(kind.__init__).parameters) | set(kind.extra)
        unknown = sorted(set(fields) - known)
        if unknown:
            raise BuildError(f"from_dict: {where} has no {', '.join(unknown)}")
        return fields

    def _meant(self, kind: Any, name: str, value: Any, said: Any) -> Any:
        """A condition, selector or end condition: itself, an expression, or the function of that name."""
        if not isinstance(value, str) or said == "cel" or (said is None and is_cel_expression(value)):
            return value
        word = {"evaluator": "Evaluator", "selector": "Selector", "end_condition": "End condition"}[name]
        return self.function(value, f"{word} function")

    def function(self, name: str, what: str) -> Any:
        """The callable of that name."""
        if not self.known:
            raise BuildError(f"Registry required to rebuild {what} {name!r}: registry=Registry(functions=[...])")
        try:
            return self.registry.find(name, what)
        except BuildError as error:
            raise BuildError(f"{what} {name!r} not found in registry: {error}") from None

    def executor(self, kind: str, name: str, where: str) -> Any:
        """The agent, team or workflow of that id: a copy, if it can make one, so that no two steps share its state."""
        if not self.known:
            raise BuildError(
                f"Registry required to rebuild {kind} {name!r} of {where}: registry=Registry({kind}s=[...])"
            )
        try:
            found = self.registry.find(name, where)
        except BuildError as error:
            raise BuildError(f"{kind} {name!r} of {where} not found in registry: {error}") from None
        copy = getattr(found, "deep_copy", None)
        return copy() if callable(copy) and kind != "workflow" else found


def _workflow(registry: Any) -> Any:
    def make(data: Mapping[str, Any]) -> Any:
        from .workflow import Workflow

        return Workflow.from_dict(data, registry=registry)

    return make
