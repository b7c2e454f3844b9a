"""The inspector's addresses: find out who asks, load, draw, and say it with the headers of a page."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import htpy as h
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Send

from ... import RunStatus, Subscription
from ...view.clean import clean
from ..errors import Refused, as_refused
from ..http.body import limited
from ..http.call import user_of
from ..http.sse import EventStream
from ..http.workflows import input_schema
from ..service import Service
from . import assets
from .actions import answer_run, cancel_run, fork_run, is_partial, start_run
from .home import Filters, home
from .live import LiveRun
from .load import Loaded, Visit, load_log, load_run
from .log import event_body, log
from .run import run_detail, run_page
from .safety import check_post, give_token, secured, token_of
from .shell import error_body, page
from .start import start
from .step import step_detail
from .words import Links, name_of

__all__ = ["inspector_routes"]

logger = logging.getLogger("workflow_runtime")

Endpoint = Callable[[Visit], Awaitable[Response]]


def inspector_routes(service: Service) -> list[BaseRoute]:
    def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        async def call(request: Request) -> Response:
            return await _answered(service, request, endpoint)

        return Route(f"/inspector{path}", call, methods=[method], name=f"inspector:{path}:{method}")

    assets.versions()  # read now, not by a request
    run = "/runs/{run_id}"
    return [
        route("", show_home),
        route("/static/{name}", show_asset),
        route("/workflows/{workflow_id:path}", show_workflow),
        route("/workflows/{workflow_id:path}", post_start, "POST"),
        route(run, show_run),
        route(f"{run}/live", show_live),
        route(f"{run}/detail", show_detail),
        route(f"{run}/log", show_log),
        route(f"{run}/events/{{seq:int}}", show_event),
        route(f"{run}/answer", post_answer, "POST"),
        route(f"{run}/cancel", post_cancel, "POST"),
        route(f"{run}/fork", post_fork, "POST"),
    ]


async def _answered(service: Service, request: Request, endpoint: Endpoint) -> Response:
    """The endpoint's answer, or the page that says why there is none."""
    links, token = Links(request.scope.get("root_path", "")), token_of(request)
    visit = Visit(service, user_of(request), request, links, token, assets.versions())
    try:
        if not service.started:
            raise Refused(
                503, "not_started", "the lifespan of this app did not run: the app that mounts it has to run it"
            )
        response = await endpoint(visit)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody will read it
    except Exception as error:
        refused = as_refused(error)
        if refused is None:
            number = secrets.token_hex(4)
            logger.error("%s %s failed (%s)", request.method, request.url.path, number, exc_info=error)
            refused = Refused(500, "internal", f"something went wrong here; the server's log has it as {number}")
        response = _refused(visit, refused)
    give_token(request, response, token)
    return secured(response)


def _refused(visit: Visit, refused: Refused) -> Response:
    said = refused.message[:1].upper() + refused.message[1:] + "."
    if is_partial(visit):  # what the page shows stays; it says what is wrong beside it
        headers = {"HX-Reswap": "none", "X-Message": quote(clean(said))}
        return Response(status_code=refused.status, headers=headers)
    body = page(visit, said, error_body(refused.status, clean(said), visit.links.home))
    return Response(body, refused.status, media_type="text/html")


def _html(body: str) -> Response:
    return Response(body, media_type="text/html")


def _part(*content: Any) -> Response:
    return _html(str(h.fragment[content]))


# -- reading -----------------------------------------------------------------------------------------------------------


async def show_asset(visit: Visit) -> Response:
    return assets.serve(visit.request)


async def show_home(visit: Visit) -> Response:
    query = visit.request.query_params
    filters: Filters = {name: query.get(name, "").strip() for name in ("workflow", "status", "session", "before")}
    known = {status.value for status in RunStatus}
    runs = await visit.service.runs(
        visit.user,
        filters["workflow"] or None,
        session_id=filters["session"] or None,
        statuses=[RunStatus(filters["status"])] if filters["status"] in known else None,
        limit=25,
        before=filters["before"] or None,
    )
    pending = await visit.service.pending(visit.user)
    return _html(page(visit, "Runs", *home(visit, pending, runs, filters)))


async def show_workflow(visit: Visit) -> Response:
    workflow = visit.service.workflow(visit.request.path_params["workflow_id"])
    name = name_of(workflow.name or workflow.id)
    return _html(page(visit, name, *start(visit, workflow, input_schema(workflow)), trail=name))


async def show_run(visit: Visit) -> Response:
    run = await load_run(visit, visit.request.path_params["run_id"])
    query = visit.request.query_params
    step, search, before = query.get("step", ""), query.get("q", ""), _number(query.get("before"))
    detail = step_detail(visit, run, step) if step else run_detail(visit, run)
    entries = await load_log(visit, run.workflow, run.run_id, search, before, run.seq)
    name = name_of(run.view.name or "run")
    body = run_page(visit, run, step, detail, log(visit, run.output, entries, search, before))
    return _html(page(visit, f"{name}: {run.view.status.lower()}", *body, trail=name))


async def show_detail(visit: Visit) -> Response:
    run = await load_run(visit, visit.request.path_params["run_id"])
    step = visit.request.query_params.get("step", "")
    return _part(step_detail(visit, run, step) if step else run_detail(visit, run))


async def show_log(visit: Visit) -> Response:
    run_id, query = visit.request.path_params["run_id"], visit.request.query_params
    workflow = visit.service.workflow(await visit.service.workflow_of(visit.user, run_id))
    output = await visit.service.run(visit.user, workflow.id, run_id, events=False)
    search, before = query.get("q", "").strip(), _number(query.get("before"))
    newest = max(output.last_seq, _number(query.get("near")) or 0)
    entries = await load_log(visit, workflow, run_id, search, before, newest)
    return _part(log(visit, output, entries, search, before))


async def show_event(visit: Visit) -> Response:
    run_id, seq = visit.request.path_params["run_id"], visit.request.path_params["seq"]
    workflow = visit.service.workflow(await visit.service.workflow_of(visit.user, run_id))
    found = await visit.service.events(visit.user, workflow.id, run_id, after=max(0, seq - 1), limit=1)
    if not found or found[0].seq > seq:
        raise Refused(404, "not_found", "this event is not kept any more")
    return _part(event_body(found[0]))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


# -- following ---------------------------------------------------------------------------------------------------------


class _LiveStream(EventStream):
    """The connection of an open page: the same limits and signs of life as any stream of events."""

    def __init__(self, visit: Visit, run: Loaded, source: Subscription) -> None:
        service = visit.service
        super().__init__(
            source, service.limits, seat=service.reading(visit.user, run.run_id), stopping=service.stopping
        )
        self._live = LiveRun(visit, run, source)

    async def _events(self, send: Send) -> None:
        await self._put(send, b"retry: 500\n\n")
        await self._live.run(partial(self._put, send))


async def show_live(visit: Visit) -> Response:
    run = await load_run(visit, visit.request.path_params["run_id"])
    source = await visit.service.subscribe(visit.user, run.workflow.id, run.run_id, after=run.seq)
    return _LiveStream(visit, run, source)


# -- doing -------------------------------------------------------------------------------------------------------------


async def post_start(visit: Visit) -> Response:
    workflow = visit.service.workflow(visit.request.path_params["workflow_id"])
    return await _posted(visit, partial(start_run, schema=input_schema(workflow)))


async def post_answer(visit: Visit) -> Response:
    return await _posted(visit, answer_run)


async def post_cancel(visit: Visit) -> Response:
    return await _posted(visit, cancel_run)


async def post_fork(visit: Visit) -> Response:
    return await _posted(visit, fork_run)


async def _posted(visit: Visit, action: Callable[..., Awaitable[Response]]) -> Response:
    """A form from one of our own pages, within the limit of a body."""
    length = visit.request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > visit.service.limits.body:
        raise Refused(413, "too_large", "this is more than the server takes")
    async with limited(visit.request, visit.service.limits).form(max_files=0, max_fields=500) as form:
        check_post(visit.request, form)
        return await action(visit, form)
