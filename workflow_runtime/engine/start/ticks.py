"""The times of a schedule."""

from __future__ import annotations

import math
from datetime import UTC, datetime, tzinfo
from typing import Any

from ...model.errors import BuildError, InputError

__all__ = ["next_tick", "run_id_of"]


def _zone(name: str) -> tzinfo:
    """The time zone of that name. InputError if there is none."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise _no_zone(name) from error
    except KeyError as error:
        raise _no_zone(name) from error


def _no_zone(name: str) -> InputError:
    return InputError(
        f"tz={name!r} is not a time zone of this machine; write for example tz='Europe/Berlin', or install tzdata"
    )


def next_tick(cron: str | None, every: float | None, tz: str, last: float, now: float) -> float:
    """The first tick after ``now``, in unix seconds. ``last`` is the tick that was due last: those of ``every`` are counted
    from it. It may read files.

    Raises:
        InputError: The expression or the time zone is not valid, or the expression names no date.
        BuildError: The package for expressions is missing.
    """
    here = _zone(tz)
    if every is not None:
        return last + every * (math.floor((now - last) / every) + 1) if now >= last else last
    assert cron is not None
    after = datetime.fromtimestamp(max(last, now), here)
    expression: Any
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise BuildError(
            "cron= needs a package that is not installed; use every=, or: pip install 'workflow-runtime[schedule]'"
        ) from error
    try:
        expression = CronSim(cron, after)
        found: datetime = next(expression)
    except CronSimError as error:
        raise InputError(f"cron={cron!r} is not valid ({error}); write for example cron='0 3 * * *'") from error
    except StopIteration:
        raise InputError(f"cron={cron!r} names no date of the next fifty years") from None
    return found.timestamp()


def run_id_of(workflow_id: str, name: str, tick: float) -> str:
    """The id of the run of a tick: two processes cannot queue it twice."""
    return f"{workflow_id}-{name}-{datetime.fromtimestamp(math.floor(tick), UTC):%Y%m%dT%H%M%SZ}"
