"""The receipt of an order to one step of a run."""

from __future__ import annotations

import msgspec

__all__ = ["StepReceipt"]


class StepReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """An order to a step that is stored: ``action`` is "cancel", "skip" or "retry". ``taken``: the process that executes the
    run has taken it, so the step ends by it. False: the run is paused, or its process is gone, and the order is carried out
    when the run continues. ``message_id`` is in the ``StepSteered`` event; ``created_at`` is unix seconds."""

    run_id: str
    path: str
    action: str
    message_id: str
    created_at: float
    taken: bool = False
