"""How a failing step is tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from . import checks
from .errors import BuildError
from .keywords import Suggesting

__all__ = ["Retry"]


class Retry(msgspec.Struct, metaclass=Suggesting, frozen=True, kw_only=True):
    """At most ``attempts`` tries in all; between two of them a pause of ``delay * backoff**(n-1)`` seconds.

    ``jitter`` is the fraction of the pause that is random (0 none, 1 all of it); ``max_delay`` bounds the pause;
    ``on`` are the exception types that are worth another try, and ``when`` says of one of them whether it is (None: each
    is); ``timeout`` bounds each attempt, in seconds. A step that raises ``RetryAfter`` or ``NeverRetry`` decides itself.
    """

    attempts: int = 3
    delay: float = 0.1
    backoff: float = 2.0
    jitter: float = 0.5
    max_delay: float = 30.0
    on: tuple[type[BaseException], ...] = (Exception,)
    timeout: float | None = None
    when: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        where = "Retry: "
        checks.number(self.attempts, "attempts", where, least=1, whole=True)
        checks.number(self.backoff, "backoff", where, least=0)
        checks.number(self.jitter, "jitter", where, least=0, most=1)
        checks.seconds(self.delay, "delay", where, zero=True, none=None)
        checks.seconds(self.max_delay, "max_delay", where, zero=True, none=None)
        checks.seconds(self.timeout, "timeout", where)
        if self.when is not None and not callable(self.when):
            raise BuildError(f"Retry: when={self.when!r} must be a function that takes the exception")
        kinds: Any = self.on
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise BuildError(f"Retry: on holds {kind!r}, which is no exception class")

    def pause(self, failed_attempt: int, random: float) -> float:
        """Seconds to wait after attempt ``failed_attempt`` (from 1) failed; ``random`` is in [0, 1)."""
        full = min(self.delay * self.backoff ** (failed_attempt - 1), self.max_delay)
        return full * (1 - self.jitter) + full * self.jitter * random
