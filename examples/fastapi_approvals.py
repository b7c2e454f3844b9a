"""A FastAPI service whose refunds wait for an approval: its own users, its own routes, the workflows' routes beside them.

    python examples/fastapi_approvals.py serve      # http://127.0.0.1:8000/docs python examples/fastapi_approvals.py
    # starts it, and uses it as two of its users

Needs: pip install 'workflow-runtime[server]' fastapi httpx2
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import httpx2
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection

from workflow_runtime import Step, StepInput, Workflow
from workflow_runtime.server import User, create_router

USERS = {"ada-token": User("ada"), "grace-token": User("grace"), "boss-token": User("boss", is_admin=True)}


def draft(step_input: StepInput) -> str:
    return f"Refund {step_input.input['euros']} EUR for order {step_input.input['order']}"


def pay(step_input: StepInput) -> str:
    return f"paid: {step_input.get_step_content('draft')}"


refunds = Workflow(
    name="Refunds",
    steps=[draft, Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay this?")],
    db="sqlite:///refunds.db",
)


def current_user(connection: HTTPConnection) -> User:
    """The app's own authentication; the workflows' routes use it too."""
    user = USERS.get(connection.headers.get("authorization", "").removeprefix("Bearer "))
    if user is None:
        raise HTTPException(401, "Who are you?")
    return user


app = FastAPI(title="Refunds")
app.include_router(create_router(refunds, auth=current_user), prefix="/api")


@app.get("/me")
def me(user: Annotated[User, Depends(current_user)]) -> str:
    """One of the service's own routes."""
    return str(user.user_id)


# -- the service, used ---------------------------------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[str]:
    """The app on a free port of this machine, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def client(url: str, name: str) -> httpx2.Client:
    return httpx2.Client(base_url=f"{url}/api", headers={"authorization": f"Bearer {name}-token"})


def main() -> None:
    with serving() as url, client(url, "ada") as ada, client(url, "grace") as grace, client(url, "boss") as boss:
        run = ada.post("/workflows/refunds/runs", json={"input": {"order": 7, "euros": 120}}).json()
        print("ada asks for a refund:", run["status"])
        print("grace sees", len(grace.get("/pending").json()["pending"]), "open questions")
        (item,) = boss.get("/pending").json()["pending"]
        asked = item["requirement"]
        print(f"the boss sees: {asked['confirmation_message']} {asked['step_input']['previous_step_content']}")
        answer = {"answers": {asked["id"]: {"confirmed": True}}}
        refused = grace.post(f"/workflows/refunds/runs/{item['run_id']}/continue", json=answer)
        print("grace answers:", refused.status_code, refused.json()["detail"])
        done = boss.post(f"/workflows/refunds/runs/{item['run_id']}/continue", json=answer).json()
        print("the boss answers:", done["status"], "-", done["content"])
        print("ada reads:", ada.get(f"/workflows/refunds/runs/{run['run_id']}").json()["content"])


if __name__ == "__main__":
    if "serve" in sys.argv:
        uvicorn.run(app)
    else:
        main()
