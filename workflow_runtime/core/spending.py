"""What the steps of a run have used, and whether that is within a budget."""

from __future__ import annotations

import msgspec

from ..model.budget import AMOUNTS, Budget
from ..model.metrics import RunMetrics

__all__ = ["Spent", "limits_raised", "over", "shown"]


class Spent(msgspec.Struct, frozen=True):
    """Amounts of a Budget."""

    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    requests: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, name) + getattr(other, name) for name in AMOUNTS))

    def at_least(self, other: Spent) -> Spent:
        """The greater of each amount: both count the same work, and one may know less of it."""
        return Spent(*(max(getattr(self, name), getattr(other, name)) for name in AMOUNTS))

    @classmethod
    def of(cls, metrics: RunMetrics | None, seconds: float = 0.0) -> Spent:
        """What an agent reported. ``requests`` are those that were noted in its metrics."""
        if metrics is None:
            return cls(seconds=seconds)
        requests = (metrics.additional_metrics or {}).get("requests")
        return cls(
            metrics.total_tokens,
            metrics.cost or 0.0,
            max(seconds, metrics.duration or 0.0),
            requests if isinstance(requests, int) else 0,
        )


def limits_raised(budget: Budget, raises: list[dict[str, float]]) -> dict[str, float]:
    """The limits of the budget with what people have added to each."""
    declared = {name: getattr(budget, name) for name in AMOUNTS if getattr(budget, name) is not None}
    return {name: amount + sum(item.get(name) or 0 for item in raises) for name, amount in declared.items()}


def over(limits: dict[str, float], spent: Spent) -> list[str]:
    """The names of the amounts of which nothing is left."""
    return [name for name, limit in limits.items() if getattr(spent, name) >= limit]


def shown(limits: dict[str, float], spent: Spent) -> str:
    """What was used, for a person: "1,200 of 1,000 tokens"."""
    return ", ".join(f"{getattr(spent, name):,.6g} of {limits[name]:,.6g} {name}" for name in over(limits, spent))
