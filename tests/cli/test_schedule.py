"""``wfr schedule``: which schedules there are, a new one, one less."""

from __future__ import annotations

from workflow_runtime import Workflow

from .conftest import Wfr


def test_a_schedule_is_added_shown_and_removed(wfr: Wfr, url: str) -> None:
    workflow = Workflow(name="w", db=url, steps=[lambda: "x"])
    workflow.schedule("often", every=90)
    assert (
        "next run at" in wfr("schedule", "add", "w", "nightly", "--cron", "0 3 * * *", "--tz", "Europe/Berlin").lines[0]
    )
    wfr("schedule", "add", "w", "often", "--every", "15m", '{"full": true}', "--queue", "slow")
    found = wfr("schedule", "--json").json
    assert [(row["workflow_id"], row["name"], row["cron"], row["every"], row["input"]) for row in found] == [
        ("w", "nightly", "0 3 * * *", None, None),
        ("w", "often", None, 900.0, {"full": True}),
    ]
    lines = wfr("schedule").lines
    assert lines[0].split() == ["workflow", "schedule", "when", "next", "queue"]
    assert "0 3 * * * (Europe/Berlin)" in lines[1]
    assert "every 900 s" in lines[2]
    assert [item.name for item in workflow.list_schedules()] == ["nightly", "often"]
    assert wfr("schedule", "remove", "w", "nightly").lines == ["schedule nightly of workflow w removed"]
    assert [item.name for item in workflow.list_schedules()] == ["often"]


def test_what_cannot_be_is_refused(wfr: Wfr, url: str) -> None:
    Workflow(name="w", db=url, steps=[lambda: "x"]).list_schedules()
    assert wfr("schedule").lines == ["no schedules"]
    assert wfr("schedule", "remove", "w", "nightly").code == 5
    refused = wfr("schedule", "add", "w", "nightly", "--cron", "0 3")
    assert refused.code == 2
    assert "cron='0 3' is not valid" in refused.err
    assert wfr("schedule", "add", "w", "nightly").code == 2
