"""Whether a step that failed is tried again, and when: by its policy, and by what it raised."""

from __future__ import annotations

import logging

from ..model.errors import BudgetExceeded, NeverRetry, RetryAfter
from ..model.retry import Retry

__all__ = ["failure_of", "pause_of", "retries"]

logger = logging.getLogger("workflow_runtime")


def failure_of(raised: Exception) -> Exception:
    """What the step failed with: the exception that a NeverRetry is about, else what it raised."""
    if not isinstance(raised, NeverRetry) or raised.error is None:
        return raised
    error = raised.error
    return error if error.__traceback__ is not None else error.with_traceback(raised.__traceback__)


def retries(policy: Retry | None, raised: Exception, attempt: int) -> bool:
    """Whether attempt ``attempt`` (from 1), which raised this, is followed by another. A policy whose ``when`` fails is not
    followed: the log says so."""
    if policy is None or attempt >= policy.attempts or isinstance(raised, (BudgetExceeded, NeverRetry)):
        return False
    if isinstance(raised, RetryAfter):
        return True
    if not (isinstance(raised, policy.on) or isinstance(getattr(raised, "stands_for", None), policy.on)):
        return False
    if policy.when is None:
        return True
    try:
        return bool(policy.when(raised))
    except Exception:
        logger.exception("Retry(when=%r) failed, so the step is not tried again", policy.when)
        return False


def pause_of(policy: Retry, raised: Exception, attempt: int, random: float) -> float:
    """Seconds to wait before the next attempt."""
    return raised.seconds if isinstance(raised, RetryAfter) else policy.pause(attempt, random)
