"""Who may ask for what: users who never meet, pages of other sites, limits, and what an error tells."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2 as httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from workflow_runtime import StorageError, Workflow
from workflow_runtime.server import JwtAuth, Limits, User
from workflow_runtime.server.running import refuse_open_door

from .flows import Gate, approval, chat, greeting, held, media, url_of
from .serving import Served

Api = Callable[..., httpx.Client]
Serve = Callable[..., Served]
TOKENS = {"alices": "alice", "bobs": "bob"}


def by_token(connection: HTTPConnection) -> User | str | None:
    token = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return User("root", is_admin=True) if token == "roots" else TOKENS.get(token)


def as_(name: str) -> dict[str, Any]:
    return {"headers": {"authorization": f"Bearer {name}s"}}


def test_without_credentials_there_is_nothing_but_health(api: Api) -> None:
    client = api(greeting(), auth=by_token)
    for method, path in (
        ("GET", "/workflows"),
        ("POST", "/workflows/greeting/runs"),
        ("GET", "/sessions"),
        ("GET", "/openapi.json"),
        ("GET", "/nowhere"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        assert client.request(method, path, **as_("mallory")).status_code == 401
    assert client.get("/health").status_code == 200
    assert client.get("/workflows", **as_("alice")).status_code == 200


def test_two_users_never_meet(api: Api) -> None:
    client = api(approval(), media(), auth=by_token)
    run = client.post("/workflows/approval/runs", json={"session_id": "hers"}, **as_("alice")).json()
    assert run["user_id"] == "alice"
    url = f"/workflows/approval/runs/{run['run_id']}"
    answers = {item["id"]: {"confirmed": True} for item in run["step_requirements"]}
    forbidden: list[tuple[str, str, Any]] = [
        ("GET", url, None),
        ("GET", f"{url}/events", None),
        ("GET", f"{url}/events?after=1", None),
        ("GET", f"{url}/history", None),
        ("POST", f"{url}/cancel", None),
        ("POST", f"{url}/continue", {"answers": answers}),
        ("POST", f"{url}/fork", {}),
        ("GET", "/sessions/hers", None),
        ("GET", "/sessions/hers/state", None),
        ("PATCH", "/sessions/hers", {"session_name": "his"}),
        ("PATCH", "/sessions/hers/state", {"session_state": {"a": 1}}),
        ("DELETE", "/sessions/hers", None),
        ("POST", "/workflows/media/runs", {"input": 1, "session_id": "hers"}),
        ("POST", "/workflows/media/runs", {"input": 1, "session_id": "hers", "stream": True}),
        ("POST", "/workflows/media/runs", {"input": 1, "session_id": "hers", "background": True}),
    ]
    for method, path, body in forbidden:
        answer = client.request(method, path, json=body, **as_("bob"))
        assert answer.status_code == 404, (method, path, answer.text)
        assert "alice" not in answer.text
    for path, key in (
        ("/workflows/approval/runs", "runs"),
        ("/workflows/approval/runs?session_id=hers", "runs"),
        ("/pending", "pending"),
        ("/pending?session_id=hers", "pending"),
        ("/sessions", "sessions"),
    ):
        assert client.get(path, **as_("bob")).json()[key] == []
        assert client.get(path, **as_("alice")).json()[key] != []
        assert client.get(path, **as_("root")).json()[key] != []
    other = client.post("/workflows/media/runs", json={"user_id": "alice"}, **as_("bob"))
    assert (other.status_code, other.json()["code"]) == (403, "other_user")
    assert client.get(url, **as_("alice")).json()["status"] == "PAUSED", "bob changed nothing"
    own = client.post("/workflows/media/runs", json={"input": 1}, **as_("root")).json()
    assert own["user_id"] == "root", "an admin's runs are the admin's"
    for_her = {"input": 1, "user_id": "alice", "session_id": "hers"}
    assert client.post("/workflows/media/runs", json=for_her, **as_("root")).json()["user_id"] == "alice"
    assert client.get("/sessions/hers", **as_("alice")).json()["session_name"] is None


def test_what_was_made_before_there_were_users_is_nobodys(served: Serve, tmp_path: Path) -> None:
    with httpx.Client(base_url=served(media(), db=url_of(tmp_path)).url) as client:
        run = client.post("/workflows/media/runs", json={"session_id": "old"}).json()
    with httpx.Client(base_url=served(media(), db=url_of(tmp_path), auth=by_token).url) as client:
        assert client.get(f"/workflows/media/runs/{run['run_id']}", **as_("alice")).status_code == 404
        assert client.post("/workflows/media/runs", json={"session_id": "old"}, **as_("alice")).status_code == 404
        assert client.get(f"/workflows/media/runs/{run['run_id']}", **as_("root")).status_code == 200


def test_a_socket_shows_its_token_first_and_sees_its_own_user_only(served: Serve, tmp_path: Path) -> None:
    server = served(held(Gate()), db=url_of(tmp_path), auth=by_token)
    address = f"ws://127.0.0.1:{server.port}/workflows/ws"
    with httpx.Client(base_url=server.url) as client:
        body = {"background": True, "run_id": "hers"}
        assert client.post("/workflows/held/runs", json=body, **as_("alice")).status_code == 202
    with connect(address) as socket:

        def ask(**frame: Any) -> Any:
            socket.send(json.dumps(frame))
            return json.loads(socket.recv(5))

        assert json.loads(socket.recv(5))["requires_auth"] is True
        assert ask(action="subscribe", run_id="hers")["event"] == "auth_required"
        assert ask(action="authenticate", token="wrong\n☃")["event"] == "auth_error"
        assert ask(action="authenticate", token="bobs") == {"event": "authenticated", "user_id": "bob"}
        for action in ("subscribe", "cancel", "answer"):
            refused = ask(action=action, workflow_id="held", run_id="hers")
            assert refused["error_type"] == "run_not_found"
        assert ask(action="start", workflow_id="held", user_id="alice")["error_type"] == "other_user"
        assert ask(action="start", workflow_id="held", session_id="hers")["event"] == "WorkflowStarted"
    with connect(address, additional_headers={"authorization": "Bearer alices"}) as socket:
        assert json.loads(socket.recv(5))["requires_auth"] is False
        assert ask(action="subscribe", run_id="hers")["status"] in ("PENDING", "RUNNING")
    with pytest.raises(InvalidStatus) as refusal, connect(address, additional_headers={"authorization": "Bearer x"}):
        pass
    assert refusal.value.response.status_code == 401


def test_a_socket_that_never_says_who_it_is_is_closed(
    served: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_runtime.server.http.websocket._AUTH_SECONDS", 0.1)
    server = served(chat(), db=url_of(tmp_path), auth=by_token)
    with connect(f"ws://127.0.0.1:{server.port}/workflows/ws") as socket:
        heard = [json.loads(socket.recv(5)) for _ in range(2)]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
    assert [frame["event"] for frame in heard] == ["connected", "error"]
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


SECRET = "a secret that is long enough for sha-256"


def signed(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "alice", "exp": time.time() + 60, **claims}, key, algorithm)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_token_names_its_user_only_when_everything_about_it_is_right() -> None:
    auth = JwtAuth(key=SECRET, audience="us", issuer="them", admin_claim="root")
    right = {"aud": "us", "iss": "them"}
    user = await auth.user(signed(**right))
    assert user is not None
    assert (user.user_id, user.is_admin, user.claims["iss"]) == ("alice", False, "them")
    admin = await auth.user(signed(**right, root=True))
    assert admin is not None
    assert admin.is_admin
    for wrong in (
        signed(**right, exp=time.time() - 60),
        signed(**{**right, "aud": "others"}),
        signed(iss="them"),
        signed(**{**right, "iss": "others"}),
        signed("another secret that is long enough too", **right),
        signed(**right, sub=""),
        jwt.encode({"sub": "alice", "aud": "us", "iss": "them"}, SECRET),  # never ends
        jwt.encode({"sub": "alice", "exp": time.time() + 60, **right}, None, "none"),
        "no.token.atall",
        "",
    ):
        assert await auth.user(wrong) is None
    no_admin = await JwtAuth(key=SECRET, audience="us").user(signed(**right, root=True))
    assert no_admin is not None
    assert not no_admin.is_admin


@pytest.mark.anyio
async def test_a_public_key_is_no_secret_to_sign_with() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    from cryptography.hazmat.primitives import serialization as form

    public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    auth = JwtAuth(key=public, algorithms=["RS256"])
    user = await auth.user(signed(private, "RS256"))
    assert user is not None
    assert user.user_id == "alice"
    assert await auth.user(signed(SECRET)) is None


def test_the_issuers_keys_are_fetched_from_where_it_publishes_them(api: Api) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))
    asked: list[str] = []

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [{**public, "kid": "one", "use": "sig"}]}).encode())

        def log_message(self, *said: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as issuer:
        threading.Thread(target=issuer.serve_forever).start()
        auth = JwtAuth(jwks_url=f"http://127.0.0.1:{issuer.server_port}/keys", algorithms=["RS256"])
        client = api(greeting(), auth=auth)
        claims = {"sub": "alice", "exp": time.time() + 60}
        for kid, status in (("one", 200), ("one", 200), ("two", 401)):
            token = jwt.encode(claims, private, "RS256", {"kid": kid})
            assert client.get("/workflows", headers={"authorization": f"Bearer {token}"}).status_code == status
        issuer.shutdown()
    assert set(asked) == {"/keys"}
    assert len(asked) <= 2, "they are kept"


def test_token_settings_that_prove_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="key= or jwks_url="):
        JwtAuth()
    with pytest.raises(ValueError, match="proves nothing"):
        JwtAuth(key=SECRET, algorithms=["none"])


def test_a_token_comes_in_a_header_or_in_the_cookie_that_was_named(api: Api) -> None:
    client = api(greeting(), auth=JwtAuth(key=SECRET, cookie="token"))
    token = signed()
    assert client.get("/workflows", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert client.get("/workflows", headers={"cookie": f"token={token}"}).status_code == 200
    assert client.get("/workflows", headers={"cookie": f"other={token}"}).status_code == 401
    assert client.get("/workflows", headers={"authorization": "Basic eDp5"}).status_code == 401


# -- where requests come from ------------------------------------------------------------------------------------------


def test_a_name_that_points_here_is_not_this_server(api: Api) -> None:
    client = api(greeting())
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "[", "localhost.evil"):
        answer = client.get("/workflows", headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "loopback_only"), host
    for host in ("localhost", "127.0.0.1:1234", "[::1]:80"):
        assert client.get("/workflows", headers={"host": host}).status_code == 200, host


def test_a_server_may_say_which_names_are_its_own(api: Api) -> None:
    client = api(greeting(), auth=by_token, hosts=["api.example.com"])
    known = {"host": "api.example.com:443", "authorization": "Bearer alices"}
    assert client.get("/workflows", headers=known).status_code == 200
    assert client.get("/workflows", headers={**known, "host": "other.example.com"}).json()["code"] == "other_host"


def test_a_page_of_another_site_changes_nothing(api: Api) -> None:
    client = api(greeting())
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = client.post("/workflows/greeting/runs", json={"input": 1}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "other_site"), headers
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-origin" not in client.get("/workflows", headers=headers).headers
    assert client.get("/workflows/greeting/runs").json()["runs"] == []
    own = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("/workflows/greeting/runs", json={"input": 1}, headers=own).status_code == 200


def test_pages_of_named_origins_may_call(api: Api) -> None:
    client = api(greeting(), auth=by_token, origins=["https://app.example.com"])
    asked = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    allowed = client.options("/workflows/greeting/runs", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    body = {"headers": {"origin": "https://app.example.com", "authorization": "Bearer alices"}, "json": {"input": 1}}
    answer = client.post("/workflows/greeting/runs", **body)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
    other = client.options("/workflows/greeting/runs", headers={**asked, "origin": "https://evil.example"})
    assert other.status_code == 400


def test_pages_of_named_origins_may_send_what_mcp_needs_and_the_headers_that_are_set(api: Api) -> None:
    client = api(greeting(), auth=by_token, origins=["https://app.example.com"], allow_headers=["X-Name"])
    wanted = [
        "authorization",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "last-event-id",
        "x-name",
    ]
    asked = {"origin": "https://app.example.com", "access-control-request-headers": ",".join(wanted)}
    for method in ("GET", "POST", "DELETE"):
        allowed = client.options("/mcp", headers={**asked, "access-control-request-method": method})
        assert allowed.status_code == 200, allowed.text
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"}}
    headers = {
        "origin": "https://app.example.com",
        "authorization": "Bearer alices",
        "accept": "application/json, text/event-stream",
    }
    answer = client.post("/mcp", json={**request, "params": params}, headers=headers)
    assert answer.headers["mcp-session-id"]
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"mcp-session-id", "x-run-id"} <= set(exposed)
    other = {**asked, "access-control-request-method": "POST", "access-control-request-headers": "x-other"}
    assert client.options("/mcp", headers=other).status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "::"])
def test_an_address_that_others_reach_needs_authentication(host: str) -> None:
    with pytest.raises(ValueError, match="callers have to authenticate"):
        refuse_open_door(host, False)
    refuse_open_door(host, True)
    refuse_open_door("127.0.0.1", False)


@pytest.mark.anyio
async def test_an_app_without_authentication_answers_at_loopback_addresses_only() -> None:
    from workflow_runtime.server import workflow_app

    app = workflow_app(greeting())
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/workflows",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "server": ("10.0.0.7", 8000),
    }
    await app(scope, lambda: anyio.lowlevel.checkpoint(), send)
    assert said[0]["status"] == 403


# -- limits, and what an error tells -----------------------------------------------------------------------------------


def test_bodies_and_files_are_limited(api: Api) -> None:
    client = api(media(), limits=Limits(body=2000, upload=10_000, files=2))
    url = "/workflows/media/runs"
    assert client.post(url, json={"input": "x" * 1000}).status_code == 200
    assert client.post(url, json={"input": "x" * 3000}).status_code == 413
    chunked = client.post(
        url,
        content=(b'{"input": "' + b"x" * 3000 + b'"}' for _ in range(1)),
        headers={"content-type": "application/json"},
    )
    assert chunked.status_code == 413, "a body that does not say how long it is"
    form = {"message": "x", "stream": "false"}
    assert client.post(url, data=form, files={"files": b"x" * 5000}).status_code == 200
    assert client.post(url, data=form, files={"files": b"x" * 20_000}).status_code == 413
    many = [("files", (f"{n}", b"x", "text/plain")) for n in range(3)]
    assert client.post(url, data=form, files=many).status_code == 400
    assert client.post(url, data={**form, "metadata": json.dumps("x" * 3000)}).status_code == 413


@pytest.mark.parametrize(("depth", "status"), [(199, 200), (200, 400), (3_000, 400), (50_000, 400)])
def test_what_is_sent_is_nested_so_deep_only(api: Api, depth: int, status: int) -> None:
    client = api(media())
    url, value = "/workflows/media/runs", "[" * depth + "]" * depth
    as_json = client.post(
        url, content=f'{{"additional_data": {{}}, "input": {value}}}', headers={"content-type": "application/json"}
    )
    assert as_json.status_code == status, as_json.text
    form = {"message": value, "stream": "false", "metadata": f'{{"a": {value[1:-1]}}}'}
    as_form = client.post(url, data=form)
    assert as_form.status_code == (200 if depth < 202 else 400), as_form.text


def test_every_answer_says_what_a_browser_must_not_make_of_it(api: Api) -> None:
    client = api(greeting())
    for answer in (
        client.get("/workflows"),
        client.get("/nowhere"),
        client.get("/workflows", headers={"host": "evil.example"}),
        client.post("/workflows/greeting/runs", json={}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers or "uvicorn" in answer.headers["server"]


def test_an_error_nobody_expected_is_logged_and_not_told(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    workflow = greeting()
    client = api(workflow)

    async def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("password=hunter2 in /home/us/secret.py")

    workflow.read_run = broken  # type: ignore[method-assign]
    run_id = client.post("/workflows/greeting/runs", json={}).json()["run_id"]
    answer = client.get(f"/workflows/greeting/runs/{run_id}")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    number = answer.json()["detail"].rsplit(" ", 1)[1]
    assert number in caplog.text, "the log has it under the same number"
    assert "hunter2" in caplog.text


def test_a_database_that_is_away_is_told_without_its_name(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow_runtime.backends import SqliteDb

    client = api(greeting())

    async def away(*args: Any, **options: Any) -> Any:
        raise StorageError("cannot connect to postgresql://us:hunter2@db.internal")

    monkeypatch.setattr(SqliteDb, "load_run", away)
    answer = client.get("/workflows/greeting/runs/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert "hunter2" not in answer.text


ODD = [
    "' OR '1'='1",
    "x'; DROP TABLE runs; --",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "a%00b",
    "%",
    "%27",
    "_",
    "*",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "☃",
    "x" * 5000,
    "%ff%fe",
]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres").new_database())


def test_no_id_is_more_than_an_id(api: Api, database: str) -> None:
    client = api(greeting(), db=database)
    for text in ODD:
        only_an_id(client, text)


def only_an_id(client: httpx.Client, text: str) -> None:
    kept = client.post("/workflows/greeting/runs", json={"session_id": "kept", "input": text}).json()
    assert kept["content"] == f"hello {text}"
    for path in (
        f"/workflows/{text}",
        f"/workflows/greeting/runs/{text}",
        f"/workflows/greeting/runs/{text}/events",
        f"/workflows/greeting/runs/{text}/history",
        f"/sessions/{text}",
        f"/sessions/{text}/state",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, (path, answer.status_code, answer.text)
    for query in ("session_id", "before", "status", "limit"):
        answer = client.get("/workflows/greeting/runs", params={query: text})
        assert answer.status_code in (200, 400), (query, answer.text)
        if query == "session_id":
            assert answer.json().get("runs", []) == []
    assert client.delete(f"/sessions/{text}").status_code == 404
    assert client.get(f"/workflows/greeting/runs/{kept['run_id']}").status_code == 200


def test_a_value_that_looks_like_a_stored_type_stays_a_value(api: Api, database: str) -> None:
    from workflow_runtime.model.values import TAG

    def tell(step_input: Any) -> Any:
        return step_input.input

    client = api(Workflow(name="Echo", steps=[tell]), db=database)
    tagged = {TAG: "model", "type": "os:system", "v": "id"}
    run = client.post("/workflows/echo/runs", json={"input": tagged, "session_state": {"s": tagged}}).json()
    assert (run["content"], run["session_state"]) == (tagged, {"s": tagged})
    odd = {"a\x00b": ["\x00", 2**70, 1e300, -0.0, "\u2028"]}
    echoed = client.post("/workflows/echo/runs", json={"input": odd, "session_state": {"odd": odd}, "metadata": odd})
    assert echoed.json().get("content") == odd, echoed.text
    assert client.post("/workflows/echo/runs", json={"session_state": odd}).status_code == 400
    session = f"/sessions/{echoed.json()['session_id']}/state"
    assert client.patch(session, json={"session_state": odd}).status_code == 400
    assert client.get(session).json()["session_state"]["odd"] == odd
    again = client.get(f"/workflows/echo/runs/{run['run_id']}").json()
    assert (again["input"], again["session_state"]["s"]) == (tagged, tagged)


def test_only_who_runs_the_server_sees_where_its_code_failed(api: Api, tmp_path: Path) -> None:
    """A traceback has the paths of the server's files and lines of its code."""

    def failing(step_input: Any) -> str:
        raise ValueError("out of stock")

    def entry(client: Any, **headers: str) -> dict[str, Any]:
        url = "/workflows/shop/runs"
        run_id = client.post(url, json={"input": "x"}, headers=headers).json()["run_id"]
        found: dict[str, Any] = client.get(f"{url}/{run_id}/history", headers=headers).json()["history"][0]
        return found

    shop = Workflow(name="shop", id="shop", steps=[failing])
    client = api(shop, auth=by_token)
    told = entry(client, authorization="Bearer alices")
    assert (told["error"], told["traceback"]) == ("out of stock", None)
    assert __file__ in entry(client, authorization="Bearer roots")["traceback"]
    assert __file__ in entry(api(shop, db=f"sqlite:///{tmp_path}/own.db"))["traceback"]
