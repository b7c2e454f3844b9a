"""Ctrl-C while the main thread waits: it is held back until the work has ended, and then raised. (D12)

Python raises KeyboardInterrupt between any two bytecodes of the main thread, so no ``try`` block can promise that work is
cancelled once, and waited for. While one waits here, the signal's handler is ours: it asks the work to end and keeps what
the handler before it raised. Handlers that raise nothing, also those of a program's own, are called as they always are.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["HeldInterrupt"]

# Without the wrappers' conversions to enums, which cost ten times the call.
_get = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
_set = getattr(signal.signal, "__wrapped__", signal.signal)


class HeldInterrupt:
    """``with HeldInterrupt(cancel):`` calls ``cancel`` at the first Ctrl-C, and raises what Ctrl-C raises at the end of the
    block. The second Ctrl-C is raised at once. Does nothing beside the main thread, which alone is interrupted.

    Args:
        cancel: Called in the signal handler: it must not block, nor take a lock.
    """

    __slots__ = ("_before", "_cancel", "raised")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self._before: Any = None
        self.raised: BaseException | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = _get(signal.SIGINT)
            if callable(before):  # neither ignored, nor left to the system, nor another library's
                try:
                    self._before = before
                    _set(signal.SIGINT, self._handle)
                except ValueError:  # the main thread of a subinterpreter
                    self._before = None
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        try:
            self._before(number, frame)
        except BaseException as error:
            if self.raised is not None:
                raise
            self.raised = error.with_traceback(None)
            self._cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and _get(signal.SIGINT) == self._handle:  # a handler may have set another one
            _set(signal.SIGINT, self._before)
        if self.raised is not None and error is not self.raised:
            raised, self.raised = self.raised, None
            raise raised from None
