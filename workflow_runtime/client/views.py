"""A server's views of runs, workflows and journals, as typed values. Contents are plain JSON here."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ..model.run_summary import RunSummary

__all__ = ["Page", "RunSummary"]

_T = TypeVar("_T")


class Page(msgspec.Struct, Generic[_T], kw_only=True):
    """Newest first. ``next`` goes into ``before`` of the next call; None: this was the last page."""

    items: list[_T]
    next: str | None = None
