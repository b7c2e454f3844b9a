"""Errors can be pickled and copied: they cross the border of a process pool, and a cache keeps them."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import workflow_runtime
from workflow_runtime import Retry, RetryAfter, RunContext, Step, Workflow, client, executors
from workflow_runtime.server import Refused

ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "AnswersArrived": (("text",), {"requirement_ids": frozenset({"q"})}),
    "AlreadyAnswered": (("text",), {"requirement_id": "q", "answered_at": 1.0}),
    "ConcurrentWrite": (("text",), {"current": {"k": b"1"}, "version": 3}),
    "DuplicateRun": (("text",), {"run_id": "r"}),
    "NeverRetry": ((LookupError("gone"),), {}),
    "ReaderTooSlow": ((7, 2), {}),
    "RetryAfter": ((0.5, "busy"), {}),
}
MODULES = (workflow_runtime, client, executors)
CLASSES = {
    f"{module.__name__}.{name}": found
    for module in MODULES
    for name in module.__all__
    if isinstance(found := getattr(module, name), type) and issubclass(found, BaseException)
}


class Busy(RetryAfter):
    def __init__(self, service: str, *, status: int) -> None:
        super().__init__(0.0, f"{service} is busy")
        self.status = status


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_comes_back_from_pickle_and_copy(name: str) -> None:
    args, fields = ARGUMENTS.get(name.rpartition(".")[2], (("text",), {}))
    check(CLASSES[name](*args, **fields))


def check(error: BaseException) -> None:
    error.add_note("a note")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is type(error)
        assert (str(back), repr(back.args), repr(vars(back))) == (str(error), repr(error.args), repr(vars(error)))


def test_errors_of_the_users_own_and_of_servers_come_back() -> None:
    check(Busy("mail", status=503))
    refused = pickle.loads(pickle.dumps(Refused(404, "run_not_found", "no such run")))
    assert (refused.status, refused.to_dict()) == (404, {"detail": "no such run", "code": "run_not_found"})


def ask_the_service(attempt: int) -> str:
    if attempt == 1:
        raise Busy("mail", status=503)
    return "sent"


def test_a_step_may_raise_retry_after_in_a_process_of_a_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        def send(run_context: RunContext) -> str:
            return pool.submit(ask_the_service, run_context.attempt).result()

        output = Workflow(steps=[Step("send", executor=send, retry=Retry(attempts=2))]).run()
    assert output.content == "sent"
