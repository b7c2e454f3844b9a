"""An adapter that does the work as ours does, and then tells of one thing less.

The environment variable LIAR names the function of the contract that lies, or with a dot the method of what it opens:
"steps", "saved.stored".
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from workflow_runtime.bench import ours

FUNCTION, _, METHOD = os.environ["LIAR"].partition(".")
NOTHING = {"pause": None, "first": 0.0, "drawing": 0}
"""What those say instead who do not count."""


def lie(found: Any) -> Any:
    if (METHOD or FUNCTION) in NOTHING:
        return NOTHING[METHOD or FUNCTION]
    if isinstance(found, tuple):
        return *found[:-1], lie(found[-1])
    return found - 1


def lying(call: Callable[..., Any]) -> Callable[..., Any]:
    def tell(*given: Any) -> Any:
        found = call(*given)
        if not inspect.isawaitable(found):
            return lie(found)

        async def wait() -> Any:
            return lie(await found)

        return wait()

    return tell


def making(make: Callable[..., Any]) -> Callable[..., Any]:
    """What a function of the contract returns is called, or opened and then called or asked."""

    def made(*given: Any) -> Any:
        real = make(*given)
        if not hasattr(real, "__aenter__"):
            return lying(real)

        @asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            async with real as inner:
                if METHOD:
                    setattr(inner, METHOD, lying(getattr(inner, METHOD)))
                yield inner if METHOD else lying(inner)

        return opened()

    return made


globals().update({name: getattr(ours, name) for name in ours.__all__})
_real = getattr(ours, FUNCTION)
globals()[FUNCTION] = lying(_real) if inspect.iscoroutinefunction(_real) else making(_real)
