"""How a failing step is tried again."""

from __future__ import annotations

import msgspec

__all__ = ["Retry"]


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``attempts`` tries in all; between two of them a pause of ``delay * backoff**(n-1)`` seconds.

    ``jitter`` is the fraction of the pause that is random (0 none, 1 all of it); ``max_delay`` bounds the pause;
    ``on`` are the exception types that are worth another try; ``timeout`` bounds each attempt, in seconds.
    """

    attempts: int = 3
    delay: float = 0.1
    backoff: float = 2.0
    jitter: float = 0.5
    max_delay: float = 30.0
    on: tuple[type[BaseException], ...] = (Exception,)
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): at least 1 attempt is needed")
        if self.delay < 0 or self.backoff < 0 or not 0 <= self.jitter <= 1:
            raise ValueError("Retry: delay and backoff must not be negative, jitter must be between 0 and 1")

    def pause(self, failed_attempt: int, random: float) -> float:
        """Seconds to wait after attempt ``failed_attempt`` (from 1) failed; ``random`` is in [0, 1)."""
        full = min(self.delay * self.backoff ** (failed_attempt - 1), self.max_delay)
        return full * (1 - self.jitter) + full * self.jitter * random
