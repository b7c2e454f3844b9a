"""Requirements as agno's users make them: with agno's defaults. Those of a run are instances too."""

from __future__ import annotations

from typing import Any

import msgspec

from workflow_runtime.model import requirements as strict

__all__ = ["StepRequirement"]


class _Kind(msgspec.StructMeta):
    def __instancecheck__(cls, item: Any) -> bool:
        return isinstance(item, strict.StepRequirement)


class StepRequirement(strict.StepRequirement, kw_only=True, metaclass=_Kind):
    """``workflow_runtime.StepRequirement`` that cancels when it is rejected and bounds no retries, unless it says so."""

    on_reject: str = "cancel"
    max_retries: int | None = None
