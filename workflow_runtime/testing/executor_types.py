"""The output type of the structured agents of ``ExecutorContract``. It needs pydantic."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["Verdict"]


class Verdict(BaseModel):
    """A judgement."""

    title: str
    score: int
