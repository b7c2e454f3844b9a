"""agno's ``run``: the status and the context of a run; events and outputs are in the submodules."""

from __future__ import annotations

from .base import RunContext, RunStatus

__all__ = ["RunContext", "RunStatus"]
