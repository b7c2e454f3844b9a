"""``wfr queue`` and ``wfr worker``, as far as they need no process of their own."""

from __future__ import annotations

import time

import pytest

from workflow_runtime import Workflow
from workflow_runtime.backends import SqliteDb

from .conftest import Wfr


def made() -> str:
    return "made"


def queued(url: str, **options: object) -> str:
    workflow = Workflow(name="w", steps=[made], db=SqliteDb(db_url=url))
    output = workflow.run("x", background=True, **{"queue": "default", **options})  # type: ignore[call-overload]
    return str(output.run_id)


def test_the_queues_are_shown(wfr: Wfr, url: str) -> None:
    queued(url)
    queued(url, queue="slow", delay=3600)
    found = wfr("queue", "--json").json
    assert [(row["queue"], row["waiting"], row["delayed"], row["parked"]) for row in found] == [
        ("default", 1, 0, 0),
        ("slow", 0, 1, 0),
    ]
    assert abs(found[0]["oldest"] - time.time()) < 3600
    lines = wfr("queue").lines
    assert lines[0].split() == ["queue", "waiting", "oldest", "delayed", "parked", "running"]
    assert lines[1].split()[:2] == ["default", "1"]


def test_no_queued_runs(wfr: Wfr, url: str) -> None:
    Workflow(name="w", steps=[made], db=SqliteDb(db_url=url)).run("x")
    assert wfr("queue").out.strip() == "no queued runs"


def test_a_run_is_parked_and_let_go(wfr: Wfr, url: str) -> None:
    run_id = queued(url)
    assert wfr("queue", "park", run_id[-8:]).out.strip() == f"run {run_id} parked"
    assert wfr("queue", "--json").json[0]["parked"] == 1
    assert wfr("queue", "requeue", run_id, "--json").json == {"run_id": run_id, "requeued": True}
    assert wfr("queue", "--json").json[0]["waiting"] == 1


def test_a_run_that_does_not_wait_is_refused(wfr: Wfr, url: str) -> None:
    output = Workflow(name="w", steps=[made], db=SqliteDb(db_url=url)).run("x")
    said = wfr("queue", "park", str(output.run_id))
    assert (said.code, said.err.strip()) == (
        6,
        f"wfr: run {output.run_id} does not wait in a queue; it is COMPLETED",
    )
    assert wfr("queue", "park", "nothing").code == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--queues", " , "), "names no queue; write --queues default,slow"),
        (("--broker", "127.0.0.1"), "is not a broker URL; write for example broker='nats://127.0.0.1:4222'"),
        (("--log-level", "loud"), "is not one of critical, error, warning, info, debug"),
    ],
)
def test_what_a_worker_cannot_be_is_said(wfr: Wfr, url: str, arguments: tuple[str, ...], said: str) -> None:
    found = wfr("worker", "flows:echo", *arguments)
    assert found.code == 2
    assert said in found.err


def test_a_worker_needs_a_database(wfr: Wfr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WFR_DB")
    found = wfr("worker", "flows:echo")
    assert (found.code, found.err.strip()) == (2, "wfr: flows:echo has no database to take runs from; pass --db")
