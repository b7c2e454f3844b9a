"""Starting and reading runs over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import pytest

from workflow_runtime import InMemoryDb

from .flows import Gate, approval, chat, failing, greeting, held, media, url_of
from .sse import frames_of

Api = Callable[..., httpx.Client]


def test_a_run_is_waited_for(api: Callable[..., httpx.Client]) -> None:
    client = api(greeting())
    answer = client.post("/workflows/greeting/runs", json={"input": "you", "session_id": "s"})
    run = answer.json()
    assert (answer.status_code, run["status"], run["content"], run["session_id"]) == (
        200,
        "COMPLETED",
        "hello you",
        "s",
    )
    assert client.get(f"/workflows/greeting/runs/{run['run_id']}").json()["content"] == "hello you"


def test_a_run_is_streamed_and_its_events_are_those_that_are_stored(api: Callable[..., httpx.Client]) -> None:
    client = api(chat(store_events=True))
    with client.stream("POST", "/workflows/chat/runs", json={"input": "x", "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        live = frames_of(answer.iter_lines())
    run_id = answer.headers["x-run-id"]
    names = [frame.event for frame in live]
    assert names[0] == "WorkflowStarted"
    assert names[-1] == "WorkflowCompleted"
    assert "".join(f.data["delta"] for f in live if f.event == "StepContent") == "w0 w1 w2 w3 w4 "
    with client.stream("GET", f"/workflows/chat/runs/{run_id}/events") as answer:
        stored = frames_of(answer.iter_lines())
    assert covered(stored) == covered(live) == list(range(1, live[-1].seq + 1))


def covered(frames: list[Any]) -> list[int]:
    """The numbers of all events that frames stand for: merged text stands for several."""
    return [seq for frame in frames for seq in range(frame.data["seq"], frame.seq + 1)]


def test_a_run_in_the_background_is_accepted_at_once_and_followed_to_its_end(api: Callable[..., httpx.Client]) -> None:
    gate = Gate()
    client = api(held(gate))
    answer = client.post("/workflows/held/runs", json={"input": "x", "background": True})
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted["status"] in ("PENDING", "RUNNING")
    run = f"/workflows/held/runs/{accepted['run_id']}"
    with client.stream("GET", f"{run}/events") as events:
        seen = []
        for line in events.iter_lines():
            seen.append(line)
            if '"before "' in line:
                gate.open()
    frames = frames_of(seen)
    assert frames[-1].event == "WorkflowCompleted"
    assert client.get(run).json()["content"] == "before after"


def test_a_run_that_fails_is_an_answer_and_no_error_of_the_server(api: Callable[..., httpx.Client]) -> None:
    client = api(failing())
    answer = client.post("/workflows/failing/runs", json={"input": "x"})
    assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    with client.stream("POST", "/workflows/failing/runs", json={"stream": True}) as answer:
        frames = frames_of(answer.iter_lines())
    assert [frame.event for frame in frames][-1] == "WorkflowError"


def test_runs_are_listed_page_by_page_newest_first(api: Callable[..., httpx.Client]) -> None:
    client = api(greeting(), chat())
    ids = [client.post("/workflows/greeting/runs", json={"input": n}).json()["run_id"] for n in range(5)]
    client.post("/workflows/chat/runs", json={"input": "other"})
    found: list[str] = []
    before = None
    while True:
        page = client.get(
            "/workflows/greeting/runs", params={"limit": 2, **({"before": before} if before else {})}
        ).json()
        found.extend(run["run_id"] for run in page["runs"])
        before = page["next"]
        if before is None:
            break
    assert found == ids[::-1]
    assert client.get("/workflows/greeting/runs", params={"status": "PAUSED"}).json()["runs"] == []
    one = client.get("/workflows/greeting/runs", params={"limit": 1}).json()["runs"][0]
    assert (one["input"], one["content"], one["status"]) == (4, "hello 4", "COMPLETED")


def test_a_running_run_is_cancelled(api: Callable[..., httpx.Client]) -> None:
    client = api(held(Gate()))
    run_id = client.post("/workflows/held/runs", json={"background": True}).json()["run_id"]
    run = f"/workflows/held/runs/{run_id}"
    with client.stream("GET", f"{run}/events") as events:
        lines = events.iter_lines()
        while "StepStarted" not in next(lines):
            pass
        assert client.post(f"{run}/cancel").json() == {"cancelled": True}
        assert [frame.event for frame in frames_of(lines)][-1] == "WorkflowCancelled"
    assert client.post(f"{run}/cancel").json() == {"cancelled": False}
    assert client.get(run).json()["status"] == "CANCELLED"


def test_who_leaves_a_run_it_waits_for_cancels_it(api: Callable[..., httpx.Client]) -> None:
    gate = Gate()
    client = api(held(gate))
    for body in ({"run_id": "streamed", "stream": True}, {"run_id": "waited"}):
        with (
            pytest.raises(httpx.ReadTimeout),
            client.stream("POST", "/workflows/held/runs", json=body, timeout=0.3) as one,
        ):
            one.read()
        assert ended(client, body["run_id"]) == "CANCELLED"


def ended(client: httpx.Client, run_id: Any) -> str:
    """The run's status once it has ended."""
    with client.stream("GET", f"/workflows/held/runs/{run_id}/events") as events:
        events.read()
    return str(client.get(f"/workflows/held/runs/{run_id}").json()["status"])


def test_who_leaves_the_stream_of_a_background_run_leaves_it_running(api: Callable[..., httpx.Client]) -> None:
    gate = Gate()
    client = api(held(gate))
    body = {"run_id": "r", "stream": True, "background": True}
    with client.stream("POST", "/workflows/held/runs", json=body) as events:
        next(events.iter_lines())
    assert gate.entered.wait(60)
    gate.open()
    assert ended(client, "r") == "COMPLETED"


def test_answers_go_on_with_a_paused_run_one_by_one(api: Callable[..., httpx.Client]) -> None:
    client = api(approval())
    run = client.post("/workflows/approval/runs", json={"input": "x"}).json()
    assert run["status"] == "PAUSED"
    pending = client.get("/workflows/approval/pending").json()["pending"]
    assert client.get("/pending").json()["pending"] == pending
    by_step = {item["requirement"]["step_name"]: item for item in pending}
    assert by_step["pay"]["schema"]["properties"]["confirmed"] == {"type": "boolean"}
    assert "user_input" in by_step["book"]["schema"]["properties"]
    pay, book = (by_step[name]["requirement"]["id"] for name in ("pay", "book"))
    url = f"/workflows/approval/runs/{run['run_id']}/continue"
    wrong = client.post(url, json={"answers": {pay: {"confirmed": True}, book: {"user_input": {"seats": "many"}}}})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_answer")
    assert "seats" in wrong.json()["detail"]
    assert len(client.get("/pending").json()["pending"]) == 2, "a wrong answer changes nothing"
    assert client.post(url, json={"answers": {pay: {"confirmed": True}}}).json()["status"] == "PAUSED"
    again = client.post(url, json={"answers": {pay: {"confirmed": False}}})
    assert (again.status_code, again.json()["code"]) == (409, "already_answered")
    nothing = client.post(url, json={})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "unanswered")
    with client.stream("POST", url, json={"answers": {book: {"user_input": {"seats": 3}}}, "stream": True}) as answer:
        events = frames_of(answer.iter_lines())
    assert events[-1].event == "WorkflowCompleted"
    assert events[-1].data["content"] == "paid, seats 3"
    late = client.post(url, json={"answers": {book: {"user_input": {"seats": 4}}}})
    assert (late.status_code, late.json()["code"]) == (409, "run_not_paused")


def test_agnos_clients_answer_with_the_requirements_themselves(api: Callable[..., httpx.Client]) -> None:
    client = api(approval())
    with client.stream("POST", "/workflows/approval/runs", data={"message": "x"}) as answer:
        events = frames_of(answer.iter_lines())
    assert events[-1].event == "WorkflowPaused"
    run_id = events[-1].data["run_id"]
    asked = client.get(f"/workflows/approval/runs/{run_id}").json()["step_requirements"]
    for item in asked:
        item["requires_confirmation"] = False  # what is asked is the database's to say
        if item.get("requires_user_input"):
            item["user_input"] = {"seats": 2}
        else:
            item["confirmed"] = True
    form = {"step_requirements": json.dumps(asked), "stream": "false"}
    done = client.post(f"/workflows/approval/runs/{run_id}/continue", data=form).json()
    assert (done["status"], done["content"]) == ("COMPLETED", "paid, seats 2")


def test_a_form_without_an_answer_stays_open_whatever_it_says_of_the_question(api: Callable[..., httpx.Client]) -> None:
    client = api(approval())
    run = client.post("/workflows/approval/runs", json={}).json()
    asked = [{"id": item["id"], "requires_confirmation": False} for item in run["step_requirements"]]
    answer = client.post(f"/workflows/approval/runs/{run['run_id']}/continue", json={"step_requirements": asked})
    assert answer.status_code == 400
    assert client.get(f"/workflows/approval/runs/{run['run_id']}").json()["status"] == "PAUSED"


def test_a_run_is_looked_back_at_and_forked(api: Callable[..., httpx.Client]) -> None:
    client = api(approval())
    run = client.post("/workflows/approval/runs", json={"input": "x"}).json()
    answers = {
        item["id"]: {"user_input": {"seats": 1}} if item.get("requires_user_input") else {"confirmed": True}
        for item in run["step_requirements"]
    }
    url = f"/workflows/approval/runs/{run['run_id']}"
    assert client.post(f"{url}/continue", json={"answers": answers}).json()["status"] == "COMPLETED"
    history = client.get(f"{url}/history").json()["history"]
    paths = [entry["path"] for entry in history]
    assert paths[-1] == "1.tell"
    assert history[-1]["output"]["content"] == "paid, seats 1"
    forked = client.post(f"{url}/fork", json={"at": "1.tell", "outputs": {"1.tell": "told"}}).json()
    assert (forked["status"], forked["content"]) == ("COMPLETED", "told")
    newest = client.get("/workflows/approval/runs").json()["runs"][0]
    assert newest["forked_from"].startswith(run["run_id"])
    assert client.post(f"{url}/fork", json={"background": True}).status_code == 202
    missing = client.post(f"{url}/fork", json={"at": "9.nowhere"})
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_place")


def test_sessions_are_listed_named_changed_and_deleted(api: Callable[..., httpx.Client]) -> None:
    client = api(media())
    for _ in range(2):
        client.post("/workflows/media/runs", json={"input": 1, "session_id": "talk"})
    assert [one["session_id"] for one in client.get("/sessions").json()["sessions"]] == ["talk"]
    assert client.get("/sessions/talk/state").json() == {"session_state": {"runs": 2}}
    assert client.patch("/sessions/talk", json={"session_name": "A talk"}).json()["session_name"] == "A talk"
    changed = client.patch("/sessions/talk/state", json={"session_state": {"more": [1]}})
    assert changed.json() == {"session_state": {"runs": 2, "more": [1]}}
    whole = client.get("/sessions/talk").json()
    assert (whole["session_name"], whole["session_state"]["runs"]) == ("A talk", 2)
    assert len(client.get("/workflows/media/runs", params={"session_id": "talk"}).json()["runs"]) == 2
    assert client.delete("/sessions/talk").status_code == 204
    assert client.delete("/sessions/talk").status_code == 404
    assert client.get("/workflows/media/runs").json()["runs"] == []


def test_runs_without_a_session_share_none(api: Callable[..., httpx.Client]) -> None:
    client = api(media())
    first, second = (client.post("/workflows/media/runs", json={"input": 1}).json() for _ in range(2))
    assert first["session_id"] != second["session_id"]
    assert second["session_state"] == {"runs": 1}


def test_workflows_tell_what_they_are(api: Callable[..., httpx.Client]) -> None:
    from pydantic import BaseModel

    class Order(BaseModel):
        seats: int

    client = api(greeting(input_schema=Order), approval())
    assert [one["id"] for one in client.get("/workflows").json()] == ["greeting", "approval"]
    found = client.get("/workflows/greeting").json()
    assert found["description"] == "Says hello"
    assert found["input_schema"]["properties"]["seats"]["type"] == "integer"
    steps = client.get("/workflows/approval").json()["steps"]
    assert [step["name"] for step in steps[0]["steps"]] == ["pay", "book"]
    assert client.get("/workflows/approval/graph").text.startswith("flowchart")
    svg = client.get("/workflows/approval/graph", params={"format": "svg"})
    assert svg.headers["content-type"] == "image/svg+xml"
    assert svg.text.startswith("<svg")
    assert client.get("/workflows/approval/graph", params={"format": "dot"}).text.startswith("digraph")
    wrong = client.post("/workflows/greeting/runs", json={"input": {"seats": "many"}})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_input")
    assert client.get("/health").json()["status"] == "ok"


def test_files_are_uploaded_with_a_form_and_sent_in_json(api: Callable[..., httpx.Client]) -> None:
    client = api(media())
    files = [("images", ("a.png", b"12345", "image/png")), ("any", ("b.pdf", b"123", "application/pdf"))]
    form = {"message": "look", "stream": "false", "session_state": '{"runs": 5}'}
    done = client.post("/workflows/media/runs", data=form, files=files).json()
    assert done["content"] == {"input": "look", "images": [["image/png", 5]], "files": [["application/pdf", 3]]}
    assert done["session_state"] == {"runs": 6}
    body = {"input": 1, "audio": [{"content": "AAEC", "mime_type": "audio/wav"}]}
    assert client.post("/workflows/media/runs", json=body).json()["content"]["audio"] == [["audio/wav", 3]]
    stolen = client.post("/workflows/media/runs", json={"files": [{"filepath": "/etc/hostname"}]})
    assert (stolen.status_code, stolen.json()["code"]) == (400, "bad_media")


def test_what_is_not_there_is_not_found(api: Callable[..., httpx.Client]) -> None:
    client = api(greeting(), chat())
    run_id = client.post("/workflows/greeting/runs", json={"input": 1}).json()["run_id"]
    for path in (
        "/workflows/none",
        "/workflows/none/runs",
        "/workflows/greeting/runs/none",
        f"/workflows/chat/runs/{run_id}",  # a run of another workflow
        f"/workflows/chat/runs/{run_id}/events",
        "/sessions/none",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert set(answer.json()) == {"detail", "code"}


def test_an_address_or_a_method_that_is_not_there_is_told_like_every_other_error(api: Api) -> None:
    client = api(greeting())
    nowhere, other = client.get("/nowhere"), client.delete("/workflows/greeting/runs")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (other.status_code, other.json()["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} & set(other.headers["allow"].split(", "))


@pytest.mark.parametrize("form", ["json", "form"])
@pytest.mark.parametrize("mode", [{}, {"stream": True}, {"background": True}])
@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("run_id", "a/b", "cannot be a part of an address"),
        ("run_id", "..", "cannot be a part of an address"),
        ("run_id", ".", "cannot be a part of an address"),
        ("run_id", "run-☃", "Latin-1"),
        ("run_id", "a\x85b", "Latin-1"),
        ("run_id", "a\nb", "control character"),
        ("session_id", "a/b", "cannot be a part of an address"),
        ("session_id", "..", "cannot be a part of an address"),
        ("session_id", "a\x00b", "control character"),
    ],
)
def test_an_id_that_no_address_can_hold_is_refused_before_anything_starts(
    api: Api, name: str, text: str, why: str, mode: dict[str, Any], form: str
) -> None:
    client = api(greeting())
    body: dict[str, Any] = {name: text, **mode}
    sent = {key: value if isinstance(value, str) else "true" for key, value in body.items()}
    answer = client.post("/workflows/greeting/runs", **({"json": body} if form == "json" else {"data": sent}))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert f"{name} {text!r}" in answer.json()["detail"]
    assert why in answer.json()["detail"]
    assert "regex" not in answer.json()["detail"]
    assert client.get("/workflows/greeting/runs").json()["runs"] == []


def test_an_id_that_an_address_can_hold_is_taken_whatever_it_is(api: Api) -> None:
    client = api(greeting())
    body = {"run_id": "é a?#%2F\\", "session_id": "☃ ?#%2F", "input": 1, "stream": True}
    assert client.post("/workflows/greeting/runs", json=body).status_code == 200
    run, session = quote(body["run_id"], safe=""), quote(body["session_id"], safe="")
    assert client.get(f"/workflows/greeting/runs/{run}").json()["status"] == "COMPLETED"
    forked = client.post(f"/workflows/greeting/runs/{run}/fork", json={"run_id": "a/b"})
    assert (forked.status_code, forked.json()["code"]) == (400, "bad_request")
    assert client.delete(f"/sessions/{session}").status_code == 204


def test_a_run_that_the_library_started_under_any_id_can_be_followed(api: Api, tmp_path: Path) -> None:
    workflow = greeting(url_of(tmp_path), store_events=True)
    workflow.run("you", run_id="run-☃\n")
    client = api(greeting())
    answer = client.get(f"/workflows/greeting/runs/{quote('run-☃' + chr(10))}/events")
    assert answer.status_code == 200
    assert "WorkflowCompleted" in answer.text


def test_a_run_is_read_without_its_events(api: Api) -> None:
    client = api(chat(store_events=True))
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    with_them = client.get(f"/workflows/chat/runs/{run_id}").json()
    without = client.get(f"/workflows/chat/runs/{run_id}?events=false").json()
    assert with_them.pop("events")[-1]["event"] == "WorkflowCompleted"
    assert without == with_them


def test_events_that_are_left_out_are_not_read(
    api: Callable[..., httpx.Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = greeting(url_of(tmp_path), store_events=True)
    workflow.run("you", run_id="mine")
    client = api(workflow)
    read: list[str] = []
    load = type(workflow.db).load_events

    async def counted(self: Any, run_id: str, **options: Any) -> Any:
        read.append(run_id)
        return await load(self, run_id, **options)

    monkeypatch.setattr(type(workflow.db), "load_events", counted)
    assert "events" not in client.get("/workflows/greeting/runs/mine?events=false").json()
    assert read == []
    assert client.get("/workflows/greeting/runs/mine").json()["events"]
    assert read == ["mine"]


def test_an_id_that_is_taken_is_refused(api: Callable[..., httpx.Client]) -> None:
    client = api(greeting())
    assert client.post("/workflows/greeting/runs", json={"run_id": "mine"}).status_code == 200
    again = client.post("/workflows/greeting/runs", json={"run_id": "mine"})
    assert (again.status_code, again.json()["code"]) == (409, "run_exists")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"inptu": 1}', "application/json", 400),
        (b'{"session_id": "a\\u0000b"}', "application/json", 400),
        (b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
        (b'{"input": 1}', "text/plain", 415),
        (b'{"input": 1}', "", 415),
        (b"stream=perhaps", "application/x-www-form-urlencoded", 400),
        (b"message=x&session_state=no", "application/x-www-form-urlencoded", 400),
        (b"x", "multipart/form-data", 400),
    ],
)
def test_a_body_that_does_not_fit_is_refused(
    api: Callable[..., httpx.Client], body: bytes, kind: str, status: int
) -> None:
    client = api(greeting())
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/workflows/greeting/runs", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert client.get("/workflows/greeting/runs").json()["runs"] == []


def test_workflows_without_a_database_are_served_too(api: Callable[..., httpx.Client]) -> None:
    client = api(greeting(), approval(), db=None)
    assert client.post("/workflows/greeting/runs", json={"input": "you"}).json()["content"] == "hello you"
    run = client.post("/workflows/approval/runs", json={}).json()
    answers = {
        item["id"]: {"user_input": {"seats": 1}} if item.get("requires_user_input") else {"confirmed": True}
        for item in run["step_requirements"]
    }
    done = client.post(f"/workflows/approval/runs/{run['run_id']}/continue", json={"answers": answers}).json()
    assert done["content"] == "paid, seats 1"
    assert client.get("/workflows/greeting/runs").json() == {"runs": [], "next": None}
    gone = client.get(f"/workflows/approval/runs/{run['run_id']}/events")
    assert (gone.status_code, gone.json()["code"]) == (410, "events_gone"), "an EventSource would come back for ever"


def test_two_workflows_of_one_id_are_refused() -> None:
    from workflow_runtime.server import workflow_app

    with pytest.raises(ValueError, match="two workflows have the id 'greeting'"):
        workflow_app([greeting(InMemoryDb()), greeting(InMemoryDb())])
