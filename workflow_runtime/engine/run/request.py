"""What a call asked for, with all options resolved: the call's over the workflow's over the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ...brokers.base import Broker
from ...core.filters import Sieve
from ...core.plan import Plan
from ...model.budget import Budget
from ...model.events import Event
from ...model.limit import Limit
from ...model.media import Audio, File, Image, Video
from ...model.step_io import Lookup
from ...storage.base import BaseDb
from ..loop.clock import Clock

__all__ = ["Definition", "Input", "RunRequest"]


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a run and what travels with it. It survives pause and continue."""

    value: Any = None
    additional_data: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    dependencies: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What of a Workflow its runs need. Nothing here changes while a run is under way."""

    workflow: Any
    id: str
    name: str | None
    plan: Plan
    lookup: Lookup
    function: Any = None
    db: BaseDb | None = None
    broker: Broker | None = None  # None: background runs begin where they are called
    clock: Clock
    session_state: dict[str, Any] | None = None
    overwrite_session_state: bool = False
    metadata: dict[str, Any] | None = None
    dependencies: dict[str, Any] | None = None
    stored_dependencies: dict[str, Any] | None = None  # those of them that can be stored with a run
    durability: str = "async"
    session_policy: str = "merge"
    lease: float = 15.0
    max_recoveries: int = 5
    max_payload: int | None = None
    evict_after: float = 300.0
    run_timeout: float | None = None
    budget: Budget | None = None
    session_budget: Budget | None = None
    hooks: Mapping[str, tuple[str, ...]] | None = None  # by name of event, the webhooks that get it
    limits: tuple[Limit, ...] = ()  # of runs that wait in queues
    is_limited: bool = False  # whether any step is in a budget
    history: bool = False  # what steps do that do not say whether they want the history
    num_history_runs: int | None = None  # likewise how much of it
    loads_runs: bool = False  # whether the session has its completed runs
    history_limit: int | None = None  # the last so many of them; None: all
    store_executor_outputs: bool = True
    lists_nested_runs: bool = False  # whether runs of nested workflows are among the executors' outputs
    cache: dict[str, Any] | None = None
    description: str | None = None
    observers: tuple[Callable[[Any], Callable[[Event], None] | None], ...] = ()
    outline: bytes = b""  # what a session keeps of the workflow, as it is stored: its id, name and top-level steps


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One run to start. ``state`` is the caller's session_state, to be merged into the stored one."""

    definition: Definition
    run_id: str
    run_id_chosen: bool = False  # by the caller, who may choose one that is taken
    session_id: str
    user_id: str | None = None
    input: Input = Input()
    tags: tuple[str, ...] = ()
    state: dict[str, Any] | None = None
    parent_run_id: str | None = None
    store_events: bool = False
    keep_log: bool = False
    skip: Sieve | None = None
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    background: bool = False
