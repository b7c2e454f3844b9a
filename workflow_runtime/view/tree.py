"""A run for display: its steps as a tree with their states, folded from the events only. (D15)

Pure: the time comes in as an argument (seconds, any origin), so recorded and live events are folded alike. Time that a
person took to answer is not counted: the view's clock stops while the run is paused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from .. import CustomEvent, Event, ExecutorEvent, StepContentEvent, StepInput, StepProgressEvent
from ..model.kinds import shape_of
from .folds import HANDLERS
from .node import Node, State, Tail

__all__ = ["OutlineLike", "View", "as_text"]

_MOST_CHILDREN = 400
_MEDIA = ("images", "videos", "audio", "files")


class OutlineLike(Protocol):
    """A node of ``Workflow.outline()``: the steps before any has run."""

    @property
    def path(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def branch(self) -> str: ...
    @property
    def children(self) -> Sequence[OutlineLike]: ...


def as_text(value: Any) -> str:
    """A value as a person reads it: text as it is, containers and models as indented JSON."""
    return value if isinstance(value, str) else StepInput(input=value).get_input_as_string() or ""


class View:
    """The run as it is now. ``version`` grows with every change; ``questions`` are the open requirements of a pause."""

    def __init__(self, name: str | None = None, outline: Iterable[OutlineLike] = ()) -> None:
        self.name = name
        self.run_id: str | None = None
        self.session_id: str | None = None
        self.status = "PENDING"
        self.root = Node("", name or "", "Workflow", None)
        self.nodes: dict[str, Node] = {"": self.root}
        self.content: Any = None
        self.error: str | None = None
        self.error_type: str | None = None
        self.reason: str | None = None
        self.questions: list[Any] = []
        self.media: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.failed: Node | None = None
        self.version = 0
        self.seq = 0  # of the last event that is not text, and
        self.epoch = 0  # the attempt that published it
        self._paused_at: float | None = None
        self._waited = 0.0
        self.seed(self.root, outline)

    # -- time ----------------------------------------------------------------------------------------------------------

    def clock(self, now: float) -> float:
        """``now`` without the time in which the run waited for a person."""
        return (now if self._paused_at is None else self._paused_at) - self._waited

    def elapsed(self, now: float) -> float:
        """Seconds that the run has worked."""
        return self.root.elapsed(self.clock(now)) or 0.0

    @property
    def position(self) -> str:
        """The position from which another reader continues, for ``subscribe(after=...)``."""
        return f"{self.epoch}-{self.seq}"

    def pause(self, now: float) -> None:
        """The run waits for a person since ``now``."""
        self.status, self._paused_at = "PAUSED", now

    # -- folding -------------------------------------------------------------------------------------------------------

    def fold_all(self, events: Iterable[Event], now: float) -> list[Event]:
        """Take several events, in the order of publication; returns those that are not deltas."""
        told: list[Event] = []
        parts: list[str] = []
        path, attempt = "", 0
        for event in events:
            if type(event) is StepContentEvent:  # by far the most frequent one: texts of one step are put in at once
                if event.path != path or event.attempt != attempt:
                    if parts:
                        self._tail(path, attempt).add("".join(parts))
                        parts = []
                    path, attempt = event.path, event.attempt
                delta = event.delta
                parts.append(delta if type(delta) is str else f"{as_text(delta)}\n")
                self.version += 1
                continue
            if parts:
                self._tail(path, attempt).add("".join(parts))
                parts = []
            self.fold(event, now)
            if type(event) is not StepProgressEvent:
                told.append(event)
        if parts:
            self._tail(path, attempt).add("".join(parts))
        return told

    def fold(self, event: Event, now: float) -> None:
        """Take one event."""
        self.version += 1
        if isinstance(event, StepContentEvent):
            delta = event.delta
            self._tail(event.path, event.attempt).add(delta if isinstance(delta, str) else f"{as_text(delta)}\n")
            return
        if self._paused_at is not None and event.event != "WorkflowPaused":
            self._waited += max(0.0, now - self._paused_at)
            self._paused_at = None
            self.status = "RUNNING"
        if event.nested_depth == 0 and event.run_id is not None:
            self.run_id, self.session_id = event.run_id, event.session_id
        self.seq = max(self.seq, event.seq) if event.epoch <= self.epoch else event.seq
        self.epoch = max(self.epoch, event.epoch)
        handler = HANDLERS.get(event.event)
        if handler is not None:
            handler(self, event, self.clock(now))
        elif isinstance(event, ExecutorEvent):
            self._executor(event)
        elif isinstance(event, CustomEvent):
            self.at(event.path).note = _custom_note(event)
        if self._paused_at is None and event.event == "WorkflowPaused" and event.nested_depth == 0:
            self._paused_at = now

    def answered(self, requirement: Any) -> None:
        """Record a person's answer if no event will show it: a rejected step publishes nothing."""
        node = self.nodes.get(_place(requirement.path))
        self.questions = [item for item in self.questions if item.id != requirement.id]
        self.version += 1
        if node is None:
            return
        if getattr(requirement, "confirmed", None) is False:
            node.note = "rejected"
            if requirement.on_reject == "skip":
                node.state = "skipped"
        elif getattr(requirement, "decision", None) == "skip":
            node.state, node.note = "skipped", "skipped by a person"

    def reopen(self, questions: list[Any], now: float) -> None:
        """The answers were refused: these wait again."""
        self.questions = questions
        for requirement in questions:
            node = self.nodes.get(_place(requirement.path))
            if node is not None:
                node.state, node.note = "waiting", ""
        self.pause(now)
        self.version += 1

    # -- places --------------------------------------------------------------------------------------------------------

    def at(self, path: str, name: str | None = None, kind: str | None = None) -> Node:
        """The node at ``path``; it and the nodes around it are created if there was no event of it yet."""
        path = _place(path)
        node = self.nodes.get(path)
        if node is None:
            return self._make(path, name, kind)
        if node.kind not in ("iteration", "item"):
            if name is not None and not node.is_named:  # it was created for a node inside it, whose event came first
                node.name, node.is_named = name, True
            node.kind = kind or node.kind
        return node

    def _make(self, path: str, name: str | None, kind: str | None) -> Node:
        around, _, part = path.rpartition("/")
        base, hash_, number = part.rpartition("#")
        number_of: int | None = None
        if hash_ and number.isdigit():
            holder = path[: -len(number) - 1]
            known = self.nodes.get(holder)
            # ``name#1`` is an iteration of a container, or the second step of that name in a callable workflow.
            if name is None or kind == "iteration" or (known is not None and known.shape in ("rounds", "items")):
                around, number_of = holder, int(number) + 1
                kind = kind or ("item" if known is not None and known.shape == "items" else "iteration")
                part = base
            elif known is not None:
                name = f"{name} ({int(number) + 1})"
        parent = self.at(around) if around else self.root
        if path in self.nodes:  # the nodes around it were created just now, with their declared children
            return self.at(path, name, kind)
        plain = part.partition(".")
        node = Node(path, name or (plain[2] if plain[0].isdigit() else part), kind or "Step", parent, number_of)
        node.is_named = name is not None
        parent.children[path] = node
        self.nodes[path] = node
        if number_of is not None and parent.outline is not None:
            self.seed(node, parent.outline.children)
        return node

    def seed(self, parent: Node, outline: Iterable[OutlineLike], branch: str | None = None) -> None:
        """Show the declared steps, down to the first container whose children are decided at run time."""
        for part in outline:
            if branch is not None and part.branch != branch:
                continue
            path = f"{parent.path}/{part.path.rpartition('/')[2]}" if parent.path else part.path.rpartition("/")[2]
            if path in self.nodes:
                continue
            node = Node(path, part.name, part.kind, parent)
            node.outline, node.is_named = part, True
            parent.children[path] = node
            self.nodes[path] = node
            if shape_of(part.kind) in (None, "sequence", "branches"):
                self.seed(node, part.children)

    def _tail(self, path: str, attempt: int) -> Tail:
        node = self.nodes.get(path) or self.at(path)
        if attempt > node.attempt:
            node.attempt, node.tail = attempt, None
        if node.tail is None:
            node.tail = Tail()
        return node.tail

    # -- state ---------------------------------------------------------------------------------------------------------

    def start(self, node: Node, seq: int, now: float) -> None:
        for around in (node, *node.above()):
            if around.started_at is None:
                around.started_at = now
            if around is node or around.state in ("pending", "waiting"):
                around.state, around.ended_at = "running", None
        node.error, node.error_type, node.seq = None, None, seq

    def end(self, node: Node, state: State, seq: int, now: float) -> None:
        node.state, node.seq = state, seq
        node.ended_at = now
        if node.started_at is None:
            node.started_at = now
        around = node.parent
        if around is None:
            return
        if around.kind == "item" and all(child.is_ended for child in around.children.values()):
            self.end(around, state, seq, now)
        if len(around.children) > _MOST_CHILDREN:
            self._drop(around)

    def _drop(self, around: Node) -> None:
        """Forget the half of the children that were done first: ten thousand items are a number, not a list."""
        done = [child for child in around.children.values() if child.state == "done"][: _MOST_CHILDREN // 2]
        for child in done:
            del around.children[child.path]
            for node in child.walk():
                around.dropped_steps += node.dropped_steps + (not node.children)
                self.nodes.pop(node.path, None)
        around.dropped += len(done)

    def wait(self, path: str, seq: int) -> Node:
        node = self.at(path)
        for around in (node, *node.above()):
            around.state = "waiting"
        node.seq = seq
        return node

    def close(self, running: State, waiting: State) -> None:
        """The run has ended, and its unfinished steps with it."""
        now = self.root.ended_at
        for node in self.root.walk():
            if node is self.root or node.is_ended:
                continue
            if node.state == "pending":
                node.state = "unused"
                continue
            has_failed = any(below.state == "failed" for below in node.walk() if below is not node)
            node.state = (
                "failed" if running == "cancelled" and has_failed else waiting if node.state == "waiting" else running
            )
            node.ended_at = now

    def count(self, event: Any) -> None:
        output = event.step_response
        for kind in _MEDIA:
            found = getattr(output, kind, None) or getattr(event, kind, None)
            if found and (output is None or output.step_type != "Workflow"):
                self.media[kind] += len(found)
        metrics = getattr(output, "metrics", None)
        if output is not None and metrics is not None and output.step_type != "Workflow":
            for name in ("input_tokens", "output_tokens", "total_tokens"):
                self.tokens[name] += getattr(metrics, name)

    def _executor(self, event: ExecutorEvent) -> None:
        node = self.at(event.path)
        name = event.event.removeprefix("Team")
        if name in ("RunContent", "RunIntermediateContent") and event.content is not None:
            self._tail(node.path, node.attempt).add(as_text(event.content))
            node.note = ""
        elif name == "ToolCallStarted":
            tool = event.tool
            called = tool.get("tool_name") if isinstance(tool, dict) else getattr(tool, "tool_name", None)
            node.note = f"tool {called}" if called else "tool call"
        elif name.startswith("Reasoning") and name != "ReasoningCompleted":
            node.note = "thinking"
        elif name in ("ToolCallCompleted", "ReasoningCompleted"):
            node.note = ""


def _place(path: str) -> str:
    """The path without the part after ``!``: a repeated round is shown at its step's own position."""
    return path.partition("!")[0]


def _custom_note(event: CustomEvent) -> str:
    own = {key: value for key, value in event.fields().items() if key not in _COMMON and value is not None}
    return ", ".join(f"{key}={value}" for key, value in own.items())


_COMMON = frozenset(name for name in vars(CustomEvent) if not name.startswith("_"))
