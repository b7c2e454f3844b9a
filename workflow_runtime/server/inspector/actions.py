"""What a person does in a page: start, answer, cancel, fork. Each form works with scripts and without."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import htpy as h
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from ... import InputError, RunNotPaused
from ...model.text import read_json
from ..errors import Refused, as_refused
from ..requests import ForkRun, StartRun
from .forms import Filled, read
from .home import asked
from .load import Visit
from .questions import answer_of, question
from .shell import page
from .start import input_form, start

__all__ = ["answer_run", "cancel_run", "fork_run", "start_run"]

_LONGEST_ID = 200


def is_partial(visit: Visit) -> bool:
    """True where a script asks for a piece of a page."""
    return visit.request.headers.get("hx-request") == "true"


def _go(visit: Visit, address: str) -> Response:
    if is_partial(visit):
        return Response(headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


def _lists(form: FormData) -> dict[str, list[str]]:
    return {name: [item for item in form.getlist(name) if isinstance(item, str)] for name in form}


async def start_run(visit: Visit, form: FormData, schema: dict[str, Any] | None) -> Response:
    """Start a run in the background, and go to its page."""
    workflow = visit.service.workflow(visit.request.path_params["workflow_id"])
    typed = _lists(form)
    if schema is not None:
        filled = read(schema, typed, name="/input")
    else:
        text = "\n".join(typed.get("text", [])).replace("\r\n", "\n")
        filled = Filled(text or None, {}, typed)
        if typed.get("is_json"):
            try:
                filled = Filled(read_json(text), {}, typed)
            except ValueError as error:
                filled = Filled(None, {"": f"The input is not JSON: {error}"}, typed)
    session_id = "".join(typed.get("session_id", [])).strip()[:_LONGEST_ID] or None
    asked_for: StartRun | None = None
    if not filled.errors:
        try:
            asked_for = StartRun(input=filled.value, background=True, session_id=session_id)
        except ValueError as error:  # of the id
            filled = filled._replace(errors={"": str(error)})
    if asked_for is not None:
        try:
            output: Any = await visit.service.start(visit.user, workflow.id, asked_for)
            return _go(visit, visit.links.run(str(output.run_id)))
        except InputError as error:
            filled = filled._replace(errors={"": str(error)})
    if is_partial(visit):
        return Response(str(input_form(visit, workflow, schema, filled)), 422, media_type="text/html")
    return Response(page(visit, "Start a run", *start(visit, workflow, schema, filled)), 422, media_type="text/html")


async def answer_run(visit: Visit, form: FormData) -> Response:
    """Answer one question of a paused run, which goes on once all are answered."""
    run_id = visit.request.path_params["run_id"]
    workflow_id = await visit.service.workflow_of(visit.user, run_id)
    output = await visit.service.run(visit.user, workflow_id, run_id, events=False)
    every: list[Any] = [*output.active_step_requirements, *output.active_error_requirements]
    item = next((item for item in every if item.id == form.get("requirement")), None)
    if item is None or item.answered_at is not None:
        raise Refused(409, "already_answered", "this was answered before, here or elsewhere; the first answer stands")
    answer, filled = answer_of(item, _lists(form))
    if not filled.errors:
        try:
            type(item).from_dict(item.to_dict()).answer(answer)  # on a copy: it says what does not fit
            await visit.service.answer(visit.user, workflow_id, run_id, {item.id: answer}, background=True)
        except ValueError as error:
            if isinstance(error, RunNotPaused) or as_refused(error) is not None:
                raise
            filled = filled._replace(errors=_by_field(error, filled.raw))
        else:
            if not is_partial(visit):
                return RedirectResponse(visit.links.run(run_id), 303)
            sent = h.p(".notice.good", role="status")["Your answer was sent. ", h.span(".dim")[asked(item)[:200]]]
            return Response(str(sent), media_type="text/html")
    again = question(visit, run_id, item, asked(item), filled)
    if is_partial(visit):
        return Response(str(again), 422, media_type="text/html")
    return Response(page(visit, "Answer", again), 422, media_type="text/html")


_FIELD = re.compile(r"Field '([^']+)' (.*)")


def _by_field(error: ValueError, known: Mapping[str, Any]) -> dict[str, str]:
    """What does not fit, by the field that it was typed into; what has none stands above the form."""
    first, _, rest = str(error).partition("\n")
    found: dict[str, str] = {}
    for line in (rest or first).replace("  - ", "").split("\n"):
        named = _FIELD.fullmatch(line)
        name = "/" + named[1].replace(".", "/") if named else ""
        told = named[2] if named and name in known else line
        name = name if name in known else ""
        found[name] = f"{found[name]}\n{told}" if name in found else told[:1].upper() + told[1:]
    return found


async def cancel_run(visit: Visit, _form: FormData) -> Response:
    run_id = visit.request.path_params["run_id"]
    workflow_id = await visit.service.workflow_of(visit.user, run_id)
    if not await visit.service.cancel(visit.user, workflow_id, run_id):
        raise Refused(409, "run_not_running", "the run had ended before")
    return Response(status_code=204) if is_partial(visit) else RedirectResponse(visit.links.run(run_id), 303)


async def fork_run(visit: Visit, form: FormData) -> Response:
    """A new run that begins where ``at`` began, and go to its page."""
    run_id = visit.request.path_params["run_id"]
    workflow_id = await visit.service.workflow_of(visit.user, run_id)
    try:
        state = read_json(str(form.get("session_state") or "null"))
    except ValueError:
        state = ...
    if state is not None and not isinstance(state, dict):
        raise Refused(400, "bad_state", 'the keys to set are not a JSON object such as {"key": "value"}')
    fork = ForkRun(at=str(form.get("at") or "") or None, session_state=state, background=True)
    output = await visit.service.fork(visit.user, workflow_id, run_id, fork)
    return _go(visit, visit.links.run(str(output.run_id)))
