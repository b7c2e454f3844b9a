"""What is recorded of LangGraph's graphs: a checkpointer whose entries are records of the step.

The unit is a task: a node, one tool call of ``create_agent``, a ``@task``. A checkpoint is recorded with the next result of
a task, since LangGraph makes it again from the results before it: there is one record a task, and tasks that end at the
same time share one.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import asyncio
import base64
import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from anyio import to_thread
from langchain_core.runnables import Runnable
from langgraph._internal._serde import build_serde_allowlist  # the classes that a graph declares
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.pregel._read import DEFAULT_BOUND  # what a node has that only writes

from .adapter import Call, ExecutorError

__all__ = ["Saver", "deltas", "recorded_nodes"]


class Saver(InMemorySaver):  # type: ignore[misc]  # the library is not there when types are checked
    """Holds the checkpoints of one entry of a graph. ``load`` must be called first.

    Attributes:
        before: The states that were loaded of earlier entries and runs: what they have is not new.
        replayed: What the tasks that are recorded wrote: (channel, value) pairs, a list for each task.
        is_new: Nothing of this run was loaded: it has not begun.
    """

    def __init__(self, call: Call, thread_id: str) -> None:
        own = call.agent.checkpointer
        self._theirs: Any = own if own is not None and not isinstance(own, bool) else None
        super().__init__(serde=self._theirs.serde if self._theirs is not None else None)
        self._stored = _stored_form(call.agent, self._theirs)
        self._call = call
        self._thread = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
        self._number = 0
        self._state: dict[str, Any] = {}
        self._seed: str | None = None
        self.before: list[Any] = []
        self.replayed: list[list[tuple[str, Any]]] = []
        self.is_new = True
        self.error: Exception | None = None

    # -- before the run ------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take what there is: the graph's own history, the entry before the pause, the records of this entry."""
        call = self._call
        if call.paused is not None:
            self._seed = call.paused["seed"]
            self._restore(call.paused["saver"])
            self.is_new = False
        elif self._theirs is not None:
            found = await call.once("history", self._history) if call.once is not None else await self._history()
            if found is not None:
                self._seed = found["id"]
                self._restore(found["saver"])
        while call.once is not None and call.recorded(f"graph#{self._number}"):
            record = await call.once(f"graph#{self._number}", dict)
            self._number += 1
            self._restore(record["saver"], replay=True)
            call.session_state.update(record["state"])
            self.is_new = False
        self._state = copy.deepcopy(dict(call.session_state))

    async def _history(self) -> dict[str, Any] | None:
        """The newest checkpoint of the graph's own checkpointer."""
        found = await self._of_theirs("get_tuple", self._thread)
        if found is None:
            return None
        kept = (found.checkpoint, found.metadata, found.checkpoint["channel_versions"])
        return {"id": found.checkpoint["id"], "saver": self._packed([("put", (self._thread, *kept))])}

    async def _of_theirs(self, name: str, *arguments: Any) -> Any:
        with suppress(NotImplementedError):  # a synchronous checkpointer
            return await getattr(self._theirs, f"a{name}")(*arguments)
        return await to_thread.run_sync(getattr(self._theirs, name), *arguments)

    def _packed(self, entries: Sequence[tuple[str, tuple[Any, ...]]]) -> list[str]:
        kind, data = self._stored.dumps_typed(list(entries))
        return [kind, base64.b64encode(data).decode()]

    def _restore(self, packed: Sequence[str], *, replay: bool = False) -> None:
        kind, data = packed
        for verb, arguments in self._stored.loads_typed((kind, base64.b64decode(data))):
            if verb not in ("put", "put_writes"):
                raise ExecutorError(f"{self._call.executor_name}: a record of the graph names the method {verb!r}")
            getattr(InMemorySaver, verb)(self, *arguments)
            if replay and verb == "put_writes":
                self.replayed.append([tuple(write) for write in arguments[1]])
            elif not replay:
                self.before.append(arguments[1]["channel_values"] if verb == "put" else dict(arguments[1]))

    # -- in the run ----------------------------------------------------------------------------------------------------

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        values = {key: value for key, value in checkpoint["channel_values"].items() if key in new_versions}
        kept = (_key(config), {**checkpoint, "channel_values": values}, dict(metadata), dict(new_versions))
        if self._call.once is not None:
            self._waiting.append(("put", kept))
            async with self._lock:  # the next nodes begin when this returns: the results before it are recorded then
                pass
        return InMemorySaver.put(self, config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        if self._call.once is not None:
            entry = ("put_writes", (_key(config), list(writes), task_id, task_path))
            self._waiting.append(entry)
            async with self._lock:
                if task_path.endswith(_INPUT):
                    pass  # it only takes the input apart, and does so again
                elif any(item is entry for item in self._waiting):  # else it is in the record of another task
                    await self._record()
        InMemorySaver.put_writes(self, config, writes, task_id, task_path)

    async def _record(self) -> None:
        entries, self._waiting = self._waiting, []
        state = dict(self._call.session_state)
        changed = {key: value for key, value in state.items() if self._state.get(key, _ABSENT) != value}
        self._state = copy.deepcopy(state)
        record = {"saver": self._packed(entries), "state": changed}
        key, self._number = f"graph#{self._number}", self._number + 1
        assert self._call.once is not None
        try:
            await self._call.once(key, lambda: record)
        except Exception as error:
            self.error = self.error or error
            raise

    # -- behind it -----------------------------------------------------------------------------------------------------

    def dumped(self) -> dict[str, Any]:
        """What a paused run needs to continue: the newest checkpoint of the graph and of each subgraph."""
        entries: list[tuple[str, tuple[Any, ...]]] = []
        for place in list(self.storage[self._thread["configurable"]["thread_id"]]):
            thread = {"configurable": {**self._thread["configurable"], "checkpoint_ns": place}}
            found = self.get_tuple(thread)
            if found is None:
                continue
            versions = found.checkpoint["channel_versions"]
            entries.append(("put", (thread, found.checkpoint, found.metadata, versions)))
            writes: dict[str, list[Any]] = {}
            for task, channel, value in found.pending_writes or ():
                writes.setdefault(task, []).append((channel, value))
            entries += [("put_writes", (_key(found.config), wrote, task, "")) for task, wrote in writes.items()]
        return {"saver": self._packed(entries), "seed": self._seed}

    def value_of(self, channel: str) -> Any:
        found = self.get_tuple(self._thread)
        return found.checkpoint["channel_values"].get(channel) if found is not None else None

    async def give_back(self) -> None:
        """Put the last checkpoint into the graph's own checkpointer, behind the one that the run began with."""
        found = self.get_tuple(self._thread) if self._theirs is not None else None
        if found is not None:
            where = dict(self._thread["configurable"])
            if self._seed is not None:
                where["checkpoint_id"] = self._seed
            versions = found.checkpoint["channel_versions"]
            await self._of_theirs("put", {"configurable": where}, found.checkpoint, found.metadata, versions)


def _stored_form(graph: Any, theirs: Any) -> Any:
    """How checkpoints are stored with the run. The library's own serializer imports and calls what the stored bytes name, so
    here it makes the classes that the graph declares, and those that its checkpointer names; a value of any other class is
    the data of its fields. A serializer of another kind, such as one that encrypts, is used as it is."""
    own = theirs.serde if theirs is not None else None
    if own is not None and not isinstance(own, JsonPlusSerializer):
        return own
    named = getattr(own, "_allowed_msgpack_modules", None)
    schemas = getattr(getattr(graph, "builder", None), "schemas", None)
    declared = build_serde_allowlist(schemas=list(schemas or ()), channels=graph.channels)
    return JsonPlusSerializer(allowed_msgpack_modules=declared | (named if isinstance(named, set) else set()))


_ABSENT: Any = object()
_INPUT = ", __start__"  # the end of the path of the task that the library begins each run with


def _key(config: Any) -> Any:
    """The rest of a config is live objects."""
    place = config["configurable"]
    return {
        "configurable": {
            key: place[key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id") if place.get(key) is not None
        }
    }


def deltas(graph: Any) -> list[str]:
    """The channels whose value is in no single checkpoint."""
    return [name for name, channel in graph.channels.items() if isinstance(channel, DeltaChannel)]


def recorded_nodes(graph: Any, call: Call) -> Iterator[tuple[str, Any]]:
    """The nodes, each of whose runs is a part of the step: what its tools ask is told apart by it."""
    for name, node in graph.nodes.items():
        yield name, node if node.bound is DEFAULT_BOUND else node.copy({"bound": _Part(node.bound, call)})


class _Part(Runnable):  # type: ignore[misc]  # as above
    def __init__(self, inner: Any, call: Call) -> None:
        self._inner, self._call = inner, call

    def invoke(self, input: Any, config: Any = None, **more: Any) -> Any:
        return self._inner.invoke(input, config, **more)

    async def ainvoke(self, input: Any, config: Any = None, **more: Any) -> Any:
        about = (config or {}).get("metadata", {})
        with self._call.part(f"node:{about.get('langgraph_step')}:{about.get('langgraph_path')}"):
            return await self._inner.ainvoke(input, config, **more)
