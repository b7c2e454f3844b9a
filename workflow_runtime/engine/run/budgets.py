"""Budgets: what the steps of a run have used, and the question whether they may use more.

A budget stands at a path: that of its step or container, "" for the run's; the session's counts what its finished runs used
too. Each step that is about to begin, and each request to a model, looks at the budgets that it is in. One of which
nothing is left is a question of that step: the answer raises it, or ends the step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...core.journal import DONE, within
from ...core.life import PAUSED
from ...core.spending import Spent, limits_raised, over, shown
from ...model.budget import Budget
from ...model.errors import BudgetExceeded
from ...model.fields import UserInputField
from ...model.metrics import RunMetrics
from ...model.requirements import StepRequirement
from ...model.step_io import StepInput, StepOutput
from ..bus import pauses as asking
from .invoke import invoke

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["AgentUse", "invoke_within", "is_limited"]

_SESSION = "session"
_LEDGERS: WeakKeyDictionary[Execution, Ledger] = WeakKeyDictionary()


def is_limited(frame: Frame, node: Any) -> bool:
    """Whether the step at ``node`` is in any budget."""
    return node.budget is not None or frame.run.definition.is_limited


class Ledger:
    """What each step of one run has used, by path."""

    def __init__(self, run: Execution) -> None:
        self._done: dict[str, Spent] = {}
        self._agents: dict[str, dict[str, Spent]] = {}  # by the key of the request, which is the same in a replay
        self.of_session: Spent | None = None
        for record in run.journal.records.values():
            output = record.output
            if record.status == DONE and record.kind == "Step" and output is not None and not output.steps:
                worked = 0.0
                if output.metrics is None and record.started_at is not None and record.finished_at is not None:
                    worked = record.finished_at - record.started_at - _answering(run, record.path, record.started_at)
                self._done[record.path] = Spent.of(output.metrics, max(0.0, worked))

    def used(self, path: str, key: str, metrics: RunMetrics | None) -> None:
        """A request of the agent at ``path``."""
        self._agents.setdefault(path, {})[key] = Spent.of(metrics) + Spent(requests=1)

    def before_pause(self, path: str, metrics: RunMetrics | None) -> None:
        """The agent at ``path`` continues; before its pause it used so much."""
        self._agents[path] = {"": Spent.of(metrics)}

    def ended(self, path: str, metrics: RunMetrics | None, seconds: float) -> None:
        """The step at ``path`` has ended, or an attempt of it has failed."""
        self._done[path] = Spent.of(metrics, max(0.0, seconds)).at_least(self.of_agent(path))

    def of_agent(self, path: str) -> Spent:
        return sum(self._agents.get(path, {}).values(), Spent())

    def within(self, scope: str) -> Spent:
        """All that was used at ``scope`` and below it."""
        whole = scope in ("", _SESSION)
        total = sum((spent for path, spent in self._done.items() if whole or within(path, scope)), Spent())
        going = [path for path in self._agents if path not in self._done and (whole or within(path, scope))]
        total = sum(map(self.of_agent, going), total)
        return total + self.of_session if scope == _SESSION and self.of_session is not None else total


def _answering(run: Execution, path: str, since: float) -> float:
    """Seconds since then that the questions of the step at ``path`` were open."""
    asked = [item for item in run.pauses.by_id.values() if item.path == path] if run.has_questions else []
    return sum(max(0.0, (item.answered_at or 0.0) - max(item.created_at or 0.0, since)) for item in asked)


def _ledger(run: Execution) -> Ledger:
    ledger = _LEDGERS.get(run)
    if ledger is None:
        ledger = _LEDGERS[run] = Ledger(run)
    return ledger


# -- steps -------------------------------------------------------------------------------------------------------------


async def invoke_within(frame: Frame, node: Any, path: str, step_input: StepInput, attempt: int) -> StepOutput:
    """``invoke`` for a step in a budget."""
    run = frame.run
    try:
        await _check(frame, node, path, attempt)
    finally:
        if run.made_parking is not None:
            run.made_parking.leave(path)
    ledger, began = _ledger(run), frame.now()
    metrics = None
    try:
        output = await invoke(frame, node, path, step_input, attempt)
        metrics = output.metrics
        requests = ledger.of_agent(path).requests
        if metrics is not None and requests:
            metrics.additional_metrics = {**(metrics.additional_metrics or {}), "requests": requests}
        return output
    finally:
        if node.executor_type != "workflow":  # its steps have counted
            ledger.ended(path, metrics, frame.now() - began - _answering(run, path, began))


async def _check(frame: Frame, node: Any, path: str, attempt: int) -> None:
    """Return when there is something left of each budget that ``path`` is in.

    Raises:
        BudgetExceeded: There is not, and the budget does not ask, or a person said no.
    """
    run = frame.run
    ledger = _ledger(run)
    _use_answers(frame, node, path)
    for scope, budget in _scopes(frame, node, path):
        if scope == _SESSION and ledger.of_session is None:
            ledger.of_session = await _of_finished_runs(run)
        tag = f"budget-{hashlib.sha1(scope.encode(), usedforsecurity=False).hexdigest()[:8]}"
        while True:
            limits, spent = limits_raised(budget, _raises(run, f"@{tag}-")), ledger.within(scope)
            if not over(limits, spent):
                break
            text = f"{_name(scope)} has used {shown(limits, spent)}"
            if budget.exceeded == "fail":
                raise BudgetExceeded(f"{text}; step {path!r} does not begin more work", path=path, budget=budget)
            await _ask(frame, node, path, attempt, tag, budget, text)


def _scopes(frame: Frame, node: Any, path: str) -> Iterator[tuple[str, Budget]]:
    """The budgets that the step at ``path`` is in, from the outermost, each with its place."""
    definition = frame.run.definition
    if definition.session_budget is not None:
        yield _SESSION, definition.session_budget
    if definition.budget is not None:
        yield "", definition.budget
    parts = path.split("/")
    for end in range(1, len(parts)):
        # The rounds of a loop are part of its budget; those of the loops around a container are not.
        scope = "/".join([*parts[: end - 1], parts[end - 1].partition("#")[0]])
        around: Any = definition.plan.find(scope)
        if around is None:
            continue
        if around.budget is not None:
            yield scope, around.budget
        inner = getattr(getattr(around, "declared", None), "workflow", None)
        if inner is not None and inner.budget is not None:
            yield scope, inner.budget
    if node.budget is not None:
        yield path, node.budget


def _raises(run: Execution, named: str) -> list[dict[str, Any]]:
    """What people have added, by the answers to the questions with ``named`` in their ids."""
    if not run.has_questions:
        return []
    return [
        dict(item.user_input or {})
        for item in run.pauses.by_id.values()
        if isinstance(item, StepRequirement) and named in item.id and item.answered_at and item.confirmed is not False
    ]


def _use_answers(frame: Frame, node: Any, path: str) -> None:
    """The answers with which a step is entered again."""
    run = frame.run
    stem = f"{run.id}:{path}@budget-"
    for item in run.pauses.unused() if run.has_questions else ():
        if item.id.startswith(stem) and run.pauses.use(item.id, frame.now()):
            frame.continued(node, path, item.id)


def _name(scope: str) -> str:
    return {"": "the run", _SESSION: "the session"}.get(scope, f"{scope!r}")


async def _of_finished_runs(run: Execution) -> Spent:
    db = run.definition.db
    row = await db.load_session(run.request.session_id) if db is not None else None
    if row is None:
        return Spent()
    from .sessions import decode_session

    return Spent.of(decode_session(row).session_metrics)


# -- people ------------------------------------------------------------------------------------------------------------


async def _ask(frame: Frame, node: Any, path: str, attempt: int, tag: str, budget: Budget, text: str) -> None:
    """Until a person has raised the budget. BudgetExceeded: a person said no."""
    run = frame.run
    stem = f"{run.id}:{path}@{tag}-"
    number = len(_raises(run, stem))
    key = f"{stem}{number}"
    if run.pauses.get(key) is None:
        fields = [
            UserInputField(
                name=name,
                field_type="int" if name in ("tokens", "requests") else "float",
                description=f"how many more {name}",
                value=amount,
                required=False,
            )
            for name, amount in limits_raised(budget, []).items()
        ]
        question = asking.question(
            node,
            path,
            run.id,
            frame.now(),
            f"{tag}-{number}",
            kind="budget",
            requires_user_input=True,
            user_input_message=f"{text}. How much more may it use?",
            user_input_schema=fields,
        )
        frame.open_question(node, path, question, attempt)
    if (answer := run.pauses.get(key)) is not None and answer.answered_at is None:
        await run.parking.wait(key, path)
        answer = run.pauses.get(key)
    assert isinstance(answer, StepRequirement)
    if run.pauses.use(key, frame.now()):
        frame.continued(node, path, key)
    if answer.confirmed is False:
        why = f": {answer.rejection_feedback}" if answer.rejection_feedback else ""
        raise BudgetExceeded(f"{text}, and was not given more{why}", path=path, budget=budget)
    if run.life in PAUSED:
        await run.going_on()


# -- the requests of agents --------------------------------------------------------------------------------------------


class AgentUse:
    """The budgets of one agent's requests. ``number``: how often it was continued behind a pause."""

    def __init__(self, frame: Frame, node: Any, path: str, attempt: int, number: int) -> None:
        self._frame, self._node, self._path, self._attempt, self._number = frame, node, path, attempt, number

    def before_pause(self, metrics: RunMetrics | None) -> None:
        _ledger(self._frame.run).before_pause(self._path, metrics)

    @property
    def requests(self) -> int:
        return _ledger(self._frame.run).of_agent(self._path).requests

    async def request(
        self, key: str, is_recorded: bool, ask: Callable[[], Awaitable[Any]], usage: Callable[[Any], RunMetrics | None]
    ) -> Any:
        """What ``ask`` gives, once there is something left of each budget. A recorded request has been allowed."""
        if not is_recorded:
            await _check(self._frame, self._node, self._path, self._attempt)
        found = await ask()
        _ledger(self._frame.run).used(self._path, f"{self._number}:{key}", usage(found))
        return found
