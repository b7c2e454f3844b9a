"""The shapes of containers, by the kind in their outputs, journal rows and drawings."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Shape", "name_shape", "shape_of"]

Shape: TypeAlias = Literal["sequence", "branches", "items", "rounds", "decision", "choice"]
"""Of a container's children: one after the other; all at once; one step once per item; all again each round; one of two
lists; those that are chosen."""

_SHAPES: dict[str, Shape] = {}


def shape_of(kind: str | None) -> Shape | None:
    """None if it is not a container: a step, an agent, a nested workflow, an iteration."""
    return _SHAPES.get(kind or "")


def name_shape(kind: str, shape: Shape) -> None:
    """Containers that call themselves ``kind`` have this shape. A later call replaces an earlier one."""
    _SHAPES[kind] = shape


for _kind, _shape in (
    ("Steps", "sequence"),
    ("Parallel", "branches"),
    ("Map", "items"),
    ("Loop", "rounds"),
    ("Condition", "decision"),
    ("Router", "choice"),
):
    name_shape(_kind, _shape)  # type: ignore[arg-type]
