"""A workflow compiled: a tree of nodes with stable paths and a fingerprint.

A path is the way from the root: ``0.research/2.review#3`` is the step "review" at position 2 of the container "research"
at position 0, in its third iteration. Positions, branches ("if", "else") and names are fixed when the plan is built;
only the iteration is added at run time, so a node's place never depends on timing.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..model.budget import Budget
from ..model.errors import BuildError
from ..model.review import HumanReview

if TYPE_CHECKING:
    from ..model.step_io import StepOutput

__all__ = ["Node", "Plan", "refuse_duplicates", "segment"]

StepIndex = int | tuple[int, ...]


def segment(position: int, name: str, branch: str = "") -> str:
    """One part of a path. The characters that separate parts are replaced, the position keeps it unique."""
    clean = name.translate(str.maketrans("/#!", "___"))
    return f"{branch}{'.' if branch else ''}{position}.{clean}"


class Node:
    """One place in the plan. Subclasses (in ``steps``) add their own configuration and their one ``execute``."""

    __slots__ = ("budget", "children", "index", "name", "review", "segment", "step_id", "timeout", "top")
    kind: ClassVar[str] = "Step"

    def __init__(
        self,
        *,
        name: str,
        segment: str,
        index: StepIndex,
        children: Sequence[Node] = (),
        review: HumanReview | None = None,
        step_id: str | None = None,
        timeout: float | None = None,
        top: bool = False,
        budget: Budget | None = None,
    ) -> None:
        self.name = name
        self.segment = segment
        self.index = index
        self.children = tuple(children)
        self.review = review
        self.step_id = step_id
        self.timeout = timeout
        self.top = top
        self.budget = budget

    def execute(self, frame: Any, flow: Any) -> Coroutine[Any, Any, StepOutput]:
        """Run this node at the position of ``frame``, with the input from ``flow``."""
        raise NotImplementedError

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """(static path, node) for this node and all below it, in declared order."""
        path = prefix + self.segment
        yield path, self
        for child in self.children:
            yield from child.walk(path + "/")

    @property
    def policies(self) -> HumanReview | None:
        """Deadline and limits of the questions of this node, also of those that are not guards (a failed step, a tool)."""
        return self.review

    def nested(self) -> Sequence[Node]:
        """The nodes that share this node's namespace of names: its children."""
        return self.children

    def __repr__(self) -> str:
        return f"<{self.kind} {self.segment}>"


class Plan:
    """The compiled workflow. Immutable; shared by all of its runs.

    ``dynamic`` is True for a callable workflow, whose steps are known only as they run.
    """

    __slots__ = ("dynamic", "fingerprint", "hosted", "names", "nesting", "root", "static")

    def __init__(self, root: Sequence[Node], *, dynamic: bool = False, hosted: bool = False, nesting: int = 0) -> None:
        self.root = tuple(root)
        self.dynamic = dynamic
        self.hosted = hosted
        self.nesting = nesting
        self.static: dict[str, Node] = {path: node for top in root for path, node in top.walk()}
        import hashlib  # it loads OpenSSL: only when a workflow is built, not when its class is imported

        self.names = frozenset(node.name for node in self.static.values())
        text = "\n".join(f"{path} {node.kind}" for path, node in self.static.items())
        self.fingerprint = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def find(self, path: str) -> Node | None:
        """The node at a path, iterations and memo parts ignored."""
        return self.static.get("/".join(part.split("#", 1)[0] for part in path.split("!", 1)[0].split("/")))


def refuse_duplicates(nodes: Sequence[Node], prefix: str = "") -> None:
    """BuildError when two steps of one sequence (or two branches, two choices) share a name: each is looked up by its name
    there. Steps of different containers may; looking such a name up raises. A nested workflow has its own names.
    """
    seen: dict[tuple[str, str], str] = {}
    for node in nodes:
        path = prefix + node.segment
        branch = node.segment.partition(".")[0]  # of a Condition, whose branches are two sequences
        key = ("" if branch.isdigit() else branch, node.name)
        if key in seen:
            raise BuildError(
                f"two steps are named {node.name!r}: at {seen[key]} and at {path}; give one of them another name"
            )
        seen[key] = path
        refuse_duplicates(node.nested(), path + "/")
