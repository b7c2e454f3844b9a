"""The kinds of containers as one table, which plans, ``to_dict``, ``from_dict`` and every view use.

The built-in containers are rows of it, and so are a user's own containers::

    class Twice(Steps): ...
    class TwiceNode(StepsNode):
        kind = "Twice"
    Twice.node_class = TwiceNode
    register_kind(Kind(Twice))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..model.errors import BuildError
from ..model.kinds import Shape, name_shape, shape_of
from .condition import Condition
from .container import ContainerNode
from .loop import Loop
from .parallel import Map, Parallel
from .router import Router
from .steps import Steps

__all__ = ["Kind", "kind_of", "register_kind", "registered_kinds"]


class Kind(msgspec.Struct, frozen=True):
    """A kind of container.

    ``declaration`` is the class that users write in ``steps``. It has the attributes ``name``, ``description``,
    ``timeout`` (seconds or None), ``human_review`` (a ``HumanReview``) and ``node_class``, a subclass of
    ``ContainerNode`` whose ``kind`` is the name of the kind and which is called with ``(declaration, children=nodes,
    **place)``.

    ``shape`` is the order in which the children run, and in which views show them: "sequence", "branches", "items",
    "rounds", "decision" or "choice". None takes that of the nearest registered base class.

    ``children`` are the attributes that hold steps: a list, or one step. ``sides`` names them in the paths of their steps,
    if there is more than one list. ``fields`` are the other options of the constructor that ``to_dict`` keeps; those of
    ``callables`` may be functions, or text that means ``text_is``. With ``positional`` the constructor takes the children
    as positional arguments. ``children=None`` takes all of these from the nearest registered base class.
    """

    declaration: type
    shape: Shape | None = None
    children: tuple[str, ...] | None = None
    sides: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    callables: tuple[str, ...] = ()
    text_is: str = "cel"
    positional: bool = False

    @property
    def name(self) -> str:
        kind: str = self.declaration.node_class.kind  # type: ignore[attr-defined]
        return kind

    def inside(self, item: Any) -> Iterator[tuple[str, list[Any]]]:
        """(side, steps) of each list of children that ``item`` has."""
        for number, name in enumerate(self.children or ()):
            value = getattr(item, name)
            yield (
                self.sides[number] if self.sides else "",
                list(value) if isinstance(value, (list, tuple)) else [value],
            )


_KINDS: dict[type, Kind] = {}
_TAKEN = ("Step", "Workflow", "List", "Function", "Agent", "Team")  # other values of ``type`` in ``to_dict``


def register_kind(kind: Kind) -> None:
    """Let ``kind.declaration`` be a step: built, run, described by ``to_dict``, made by ``from_dict``, and shown.

    Register it when the module that defines it is imported: a process that shows or continues a stored run must know it.
    A second registration of a class replaces the first.

    Raises:
        BuildError: The class has no ``node_class`` that is a ``ContainerNode``; its kind has the name of another class; or
            a field is missing that no registered base class gives.
    """
    cls = kind.declaration
    node = getattr(cls, "node_class", None)
    if not (isinstance(node, type) and issubclass(node, ContainerNode)):
        raise BuildError(f"Kind({cls.__name__}): set {cls.__name__}.node_class to a subclass of ContainerNode")
    base = kind_of(cls)
    if kind.children is None:
        if base is None:
            raise BuildError(f"Kind({cls.__name__}): name the attributes that hold steps, as children=('steps',)")
        kind = msgspec.structs.replace(base, declaration=cls, shape=kind.shape or base.shape)
    elif kind.shape is None:
        shape = base.shape if base is not None else None
        if shape is None:
            raise BuildError(f"Kind({cls.__name__}): shape= is missing, as shape='sequence'")
        kind = msgspec.structs.replace(kind, shape=shape)
    other = next((each for each in _KINDS.values() if each.name == kind.name and each.declaration is not cls), None)
    if other is not None or kind.name in _TAKEN:
        holder = other.declaration.__name__ if other is not None else "the runtime"
        raise BuildError(
            f"Kind({cls.__name__}): the name {kind.name!r} belongs to {holder}; set {node.__name__}.kind to another"
        )
    _KINDS[cls] = kind
    assert kind.shape is not None
    name_shape(kind.name, kind.shape)


def kind_of(cls: type) -> Kind | None:
    """The kind of a declaration's class: its own, or that of its nearest base class; None if it is not a container."""
    return next((_KINDS[base] for base in cls.__mro__ if base in _KINDS), None)


def registered_kinds() -> dict[str, type]:
    """The classes of containers by the name of their kind."""
    return {kind.name: cls for cls, kind in _KINDS.items()}


for _kind in (
    Kind(Steps, shape_of("Steps"), ("steps",)),
    Kind(
        Parallel,
        shape_of("Parallel"),
        ("steps",),
        fields=("max_concurrency", "fail_fast", "wait_for"),
        positional=True,
    ),
    Kind(
        Loop,
        shape_of("Loop"),
        ("steps",),
        fields=("max_iterations", "forward_iteration_output"),
        callables=("end_condition",),
    ),
    Kind(
        Condition,
        shape_of("Condition"),
        ("steps", "else_steps"),
        sides=("if", "else"),
        fields=("on_error",),
        callables=("evaluator",),
    ),
    Kind(Router, shape_of("Router"), ("choices",), fields=("allow_multiple_selections",), callables=("selector",)),
    Kind(
        Map,
        shape_of("Map"),
        ("step",),
        fields=("max_concurrency", "fail_fast"),
        callables=("over",),
        text_is="path",
    ),
):
    register_kind(_kind)
