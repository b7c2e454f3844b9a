"""A run's content is that of one of its last steps: where it is a long text, it is stored with the step and not again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .step_io import StepOutput

__all__ = ["content_of", "without_repeated"]

_TAG = "repeated"
_LEAST = 256  # characters; what is shorter is stored twice


def _last(results: Sequence[StepOutput]) -> Iterator[StepOutput]:
    """The last step, the last one in it, and so on."""
    while results:
        yield results[-1]
        results = results[-1].steps or ()


def without_repeated(content: Any, results: Sequence[StepOutput]) -> dict[str, Any] | None:
    """What is stored in the place of a run's ``content``: which of its last steps has it. None where it is stored itself."""
    if type(content) is not str or len(content) < _LEAST:
        return None
    for depth, step in enumerate(_last(results)):
        if type(step.content) is str and step.content == content:
            return {"$": _TAG, "v": depth}
    return None


def content_of(stored: Any, results: Sequence[StepOutput]) -> Any:
    """The content that ``stored`` stands for; ``stored`` itself where it stands for none, or for none of these steps."""
    if type(stored) is dict and stored.get("$") == _TAG:
        for depth, step in enumerate(_last(results)):
            if depth == stored.get("v"):
                return step.content
    return stored
