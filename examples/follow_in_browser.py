"""A page that starts a run and follows it with the browser's own EventSource: text as it is made, over lost connections.

    python examples/follow_in_browser.py            # open http://127.0.0.1:8000
    python examples/follow_in_browser.py --once     # one run, followed without a browser

Needs: pip install 'workflow-runtime[server,client]'
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from workflow_runtime import StepContentEvent, StepInput, Workflow
from workflow_runtime.server import workflow_app

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>A story</title>
<button id="start">Tell me a story</button>
<p id="status" role="status">ready</p>
<pre id="text"></pre>
<script type="module">
const runs = "/flows/workflows/story/runs"
const [start, status, text] = ["start", "status", "text"].map(id => document.getElementById(id))

function follow(runId) {
  location.hash = runId            // a reload follows the same run from its beginning
  text.textContent = ""
  const source = new EventSource(`${runs}/${runId}/events`)
  source.onopen = () => { status.textContent = "listening" }
  source.onerror = () => { status.textContent = "reconnecting" }  // it comes back by itself, and misses nothing
  source.addEventListener("StepContent", event => text.append(JSON.parse(event.data).delta))
  for (const name of ["StepRetry", "WorkflowResumed"])  // what was told is taken back, and told again
    source.addEventListener(name, () => { text.textContent = "" })
  for (const name of ["WorkflowCompleted", "WorkflowCancelled", "WorkflowError"])
    source.addEventListener(name, event => {
      source.close()
      status.textContent = JSON.parse(event.data).content === text.textContent ? "done" : name
    })
}

start.onclick = async () => {
  const answer = await fetch(runs, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({input: "once upon a time", background: true}),
  })
  follow((await answer.json()).run_id)
}
if (location.hash) follow(location.hash.slice(1))
</script>
"""


async def tell(step_input: StepInput) -> AsyncIterator[str]:
    for number, word in enumerate(f"{step_input.input} there was a run that everybody could follow".split()):
        yield f" {word}" if number else word
        await asyncio.sleep(0.05)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


def build(db: str = "sqlite:///stories.db") -> Starlette:
    """The page, and the workflows' routes below /flows. The app that mounts them runs their lifespan."""
    flows = workflow_app(Workflow(name="Story", steps=[tell], db=db))
    return Starlette(routes=[Route("/", page), Mount("/flows", flows)], lifespan=flows.router.lifespan_context)


async def once() -> None:
    """The same as in the browser, with the library's own client."""
    from workflow_runtime.client import Client

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build(), log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    async with Client(f"http://127.0.0.1:{listening.getsockname()[1]}/flows") as client:
        async for event in client.run("story", "once upon a time"):
            print(event.delta if isinstance(event, StepContentEvent) else f"[{event.event}]", flush=True)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    if "--once" in sys.argv:
        asyncio.run(once())
    else:
        uvicorn.run(build())
