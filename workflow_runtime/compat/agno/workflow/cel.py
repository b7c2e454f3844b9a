"""Expressions as conditions: whether they can be used here, and whether one is valid."""

from __future__ import annotations

import re
from importlib.util import find_spec

from workflow_runtime.core import cel

__all__ = ["CEL_AVAILABLE", "is_cel_expression", "validate_cel_expression"]

CEL_AVAILABLE = find_spec("cel") is not None


def validate_cel_expression(expression: str) -> bool:
    """True if ``expression`` compiles. BuildError if the package is missing."""
    return cel.validate_cel_expression(expression)


def is_cel_expression(value: str) -> bool:
    """False for a bare identifier, which is the name of a function."""
    return re.fullmatch(r"[A-Za-z_]\w*", value.strip()) is None
