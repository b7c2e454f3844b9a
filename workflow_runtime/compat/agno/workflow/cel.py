"""Expressions as conditions: whether they can be used here, and whether one is valid."""

from __future__ import annotations

import re
from importlib.util import find_spec

from workflow_runtime.core import cel

__all__ = ["CEL_AVAILABLE", "is_cel_expression", "validate_cel_expression"]

_OPERATORS = re.compile(r"""[.()\[\]"'!=<>&|+*/%?:-]|\sin\s""")

CEL_AVAILABLE = find_spec("cel") is not None


def validate_cel_expression(expression: str) -> bool:
    """True if ``expression`` compiles. BuildError if the package is missing."""
    return bool(expression.strip()) and cel.validate_cel_expression(expression)


def is_cel_expression(value: str) -> bool:
    """True if ``value`` has what only an expression has: an operator, a bracket, a dot, a quote. A bare word, which is the
    name of a function, a number and blank text have not."""
    return _OPERATORS.search(value) is not None
