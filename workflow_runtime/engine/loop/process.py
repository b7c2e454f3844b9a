"""The state that a process of the operating system has once: tables of its runs, tasks and loops, its name as an owner of
leases, and its sources of ids and random numbers.

The other modules of the engine (all but the portal, which is a thread) keep no state at module level; they ask
``current()`` each time. So a forked child starts with a process of its own, and a test can have several processes in one
interpreter and switch between them with ``enter``. This module imports nothing of the engine.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7

if TYPE_CHECKING:
    import anyio

    from ...model.run import WorkflowRunOutput
    from ..run.evicting import Sweep
    from ..run.execution import Execution
    from ..run.heartbeat import Heart
    from ..run.run_group import RunGroup
    from ..run.sessions import Line

__all__ = ["Process", "current", "enter"]


class Process:
    """The tables of one process, empty at first. A subclass can supply other ids and random numbers.

    ``lock`` guards ``live``, ``paused``, ``finished`` and ``watches``, which several threads use. Entries with a loop in
    their key are used on that loop only.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Runs that execute or wait here, by id, while anybody holds them.
        self.live: weakref.WeakValueDictionary[str, Execution] = weakref.WeakValueDictionary()
        #: Paused outputs of runs that no database keeps, while anybody holds them.
        self.paused: weakref.WeakValueDictionary[str, WorkflowRunOutput] = weakref.WeakValueDictionary()
        #: The last outputs of background runs that no database keeps, the oldest first: of their ends, or their pauses.
        self.finished: OrderedDict[str, WorkflowRunOutput] = OrderedDict()
        #: The heart of each event loop that has stored runs.
        self.hearts: weakref.WeakKeyDictionary[Any, Heart] = weakref.WeakKeyDictionary()
        #: The parked runs of each event loop.
        self.sweeps: weakref.WeakKeyDictionary[Any, Sweep] = weakref.WeakKeyDictionary()
        #: By (database, session, loop): the lock of its edits, and the line of runs that want it.
        self.session_locks: weakref.WeakValueDictionary[tuple[int, str, object], anyio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self.session_lines: weakref.WeakValueDictionary[tuple[int, str, object], Line] = weakref.WeakValueDictionary()
        #: Tasks that outlive their caller: asyncio keeps only weak references.
        self.tasks: set[Any] = set()
        #: By loop: the task groups of its Runtimes that hold background runs, the last opened last.
        self.run_groups: weakref.WeakKeyDictionary[Any, list[RunGroup]] = weakref.WeakKeyDictionary()
        #: The event loops that are watched for standing still, the thread that does it, and what wakes it.
        self.watches: dict[Any, Any] = {}
        self.watchdog: threading.Thread | None = None
        self.watches_changed = threading.Event()
        self._owner: str | None = None

    @property
    def owner(self) -> str:
        """The name under which leases are taken here: host, process and a random part."""
        if self._owner is None:
            self._owner = f"{socket.gethostname()}:{os.getpid()}:{self.new_id()[-8:]}"
        return self._owner

    def new_id(self) -> str:
        """A sortable unique id: 32 hexadecimal digits."""
        return uuid7().hex

    def random(self) -> float:
        """In [0, 1)."""
        return random.random()


_current = Process()
_before_forks: list[Process] = []  # kept: a child that dropped its parent's tasks would run their clean-up


def current() -> Process:
    """The process that runs this code."""
    return _current


def enter(process: Process) -> None:
    """From here on ``process`` is the current one."""
    global _current
    _current = process


def _begin_child() -> None:
    _before_forks.append(_current)
    enter(Process())


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_begin_child)
