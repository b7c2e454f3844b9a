"""What agents may use."""

from __future__ import annotations

import msgspec

from . import checks
from .errors import BuildError
from .keywords import Suggesting

__all__ = ["AMOUNTS", "Budget"]

AMOUNTS = ("tokens", "cost", "seconds", "requests")


class Budget(msgspec.Struct, metaclass=Suggesting, frozen=True, kw_only=True):
    """The most that the steps in it may use. It is checked before each step and each model request; what has begun ends.

    Attributes:
        tokens: Input and output together.
        cost: In the unit that the agents' libraries report.
        seconds: For which steps work. The time that a person takes does not count.
        requests: To models.
        exceeded: "pause": the run pauses with a question, whose answer raises the budget or ends the run; "fail": the step
            that may not begin fails with BudgetExceeded.

    Raises:
        BuildError: No amount, or one that is not more than 0.
    """

    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    requests: int | None = None
    exceeded: str = "pause"

    def __post_init__(self) -> None:
        for name in AMOUNTS:
            amount, whole = getattr(self, name), name in ("tokens", "requests")
            checks.number(amount, name, "Budget: ", least=1 if whole else 0, whole=whole, none="no limit")
            if amount == 0:
                raise BuildError(f"Budget: {name}=0 must be more than 0 (None: no limit)")
        if all(getattr(self, name) is None for name in AMOUNTS):
            raise BuildError("Budget() limits nothing; write for example Budget(tokens=100_000)")
        if self.exceeded not in ("pause", "fail"):
            raise BuildError(f"Budget: exceeded={self.exceeded!r} must be 'pause' or 'fail'")
