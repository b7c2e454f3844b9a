"""The commands of ``wfr``: what they are called and what they take. The work is in the modules beside this one."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from .. import __version__
from .codes import Code, Work, perform
from .source import BROKER_ENV, ENV

__all__ = ["app"]

app = typer.Typer(
    help="Run workflows, and look after their runs.",
    no_args_is_help=True,
    rich_markup_mode=None,  # help is text; nothing in it is markup
    pretty_exceptions_enable=False,  # a step's traceback is the user's, as Python shows it
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 paused, 4 cancelled, 5 not found, 6 refused,"
    " 7 database, 130 Ctrl-C.",
)

db_app = typer.Typer(help="Look after the database.", no_args_is_help=True)
app.add_typer(db_app, name="db")
queue_app = typer.Typer(help="Look after queued runs.")
app.add_typer(queue_app, name="queue")
webhooks_app = typer.Typer(help="Look after deliveries to webhooks.", no_args_is_help=True)
app.add_typer(webhooks_app, name="webhooks")
schedule_app = typer.Typer(help="Look after schedules.")
app.add_typer(schedule_app, name="schedule")


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of stored runs, for the shell."""
    url = ctx.params.get("db") or os.environ.get(ENV)
    if not url:
        return []

    async def newest() -> list[str]:
        from ..storage.base import RunFilter
        from .source import database

        async with database(url) as db:
            return [row.run_id for row in await db.list_runs(RunFilter(), limit=50)]

    try:
        return [run_id for run_id in anyio.run(newest) if run_id.startswith(incomplete)]
    except Exception:  # the shell shows whatever is printed here in the middle of the line
        return []


Target = Annotated[
    str, typer.Argument(metavar="MODULE:NAME", help="The workflow: module:name, or path/to/file.py:name.")
]
RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's id, or at least its last 4 characters.", autocompletion=complete_run),
]
Db = Annotated[
    str | None, typer.Option("--db", metavar="URL", help=f"The database, such as sqlite:///runs.db. Default: {ENV}.")
]
BrokerUrl = Annotated[
    str | None,
    typer.Option("--broker", metavar="URL", help=f"Who runs it, such as nats://127.0.0.1:4222. Default: {BROKER_ENV}."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Stream = Annotated[bool | None, typer.Option("--stream/--no-stream", help="Show text while it is made.")]
Markdown = Annotated[bool, typer.Option("--markdown/--no-markdown", help="Lay out text as Markdown.")]
Details = Annotated[bool, typer.Option("--details/--no-details", help="Show the output of each step.")]
Interactive = Annotated[
    bool | None, typer.Option("--interactive/--no-interactive", help="Ask here where the run pauses.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Where nobody can be asked here, wait for wfr answer.")]
Session = Annotated[str | None, typer.Option("--session", help="The session's id.")]
User = Annotated[str | None, typer.Option("--user", help="The user's id.")]


def _console() -> Console:
    return Console()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run workflows, and look after their runs."""


@app.command()
def run(
    target: Target,
    input: Annotated[str | None, typer.Argument(help="JSON, or text; - reads it from standard input.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Take the input as text even if it looks like JSON.")] = False,
    session: Session = None,
    user: User = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="An id of your choice for the run.")] = None,
    db: Db = None,
    stream: Stream = None,
    markdown: Markdown = True,
    details: Details = True,
    interactive: Interactive = None,
    wait: Wait = False,
    events: Annotated[bool, typer.Option("--events/--no-events", help="Store the events, for tail and export.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a workflow. Ctrl-C cancels it."""
    from .launch import Shown
    from .launch import run as work

    shown = Shown(stream, markdown, details, interactive, wait, as_json)
    given = {"session_id": session, "user_id": user, "run_id": run_id}
    perform(
        partial(work, target, input, _console(), shown, db=db, as_text=text, keep_events=events, **given),
        as_json=as_json,
    )


@app.command("continue")
def continue_(
    target: Target,
    run_id: RunId,
    db: Db = None,
    stream: Stream = None,
    markdown: Markdown = True,
    details: Details = True,
    interactive: Interactive = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a paused run; what is still open is asked here."""
    from .launch import Shown, continue_run

    shown = Shown(stream, markdown, details, interactive, wait, as_json)
    perform(partial(continue_run, target, run_id, _console(), shown, db=db), as_json=as_json)


@app.command()
def fork(
    target: Target,
    run_id: RunId,
    at: Annotated[
        str | None, typer.Option("--at", metavar="PATH|SEQ", help="The step to run again, or an event's number.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", metavar="PATH=VALUE", help="A step's output that counts as done.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="JSON", help="Merged over the session state.")] = None,
    db: Db = None,
    stream: Stream = None,
    markdown: Markdown = True,
    details: Details = True,
    interactive: Interactive = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Start a new run that shares the beginning of another one."""
    from .launch import Shown, fork_run

    shown = Shown(stream, markdown, details, interactive, wait, as_json)
    work = partial(fork_run, target, run_id, _console(), shown, db=db, at=at, outputs=output or (), state=state)
    perform(work, as_json=as_json)


@app.command()
def recover(
    target: Target,
    db: Db = None,
    markdown: Markdown = True,
    details: Details = True,
    interactive: Interactive = None,
    as_json: AsJson = False,
) -> None:
    """Take over the workflow's runs whose process died, and show them to their end."""
    from .launch import Shown, recover_runs

    shown = Shown(None, markdown, details, interactive, False, as_json)
    perform(partial(recover_runs, target, _console(), shown, db=db), as_json=as_json)


@app.command()
def serve(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:NAME...", help="Workflows: module:name, or path/to/file.py:name.")
    ],
    host: Annotated[str, typer.Option("--host", help="The address; beyond loopback --auth or --jwt is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8000,
    auth: Annotated[
        str | None, typer.Option("--auth", metavar="MODULE:NAME", help="What tells who a request is from.")
    ] = None,
    jwt: Annotated[bool, typer.Option("--jwt", help="Callers show a token; WFR_JWT_KEY and others say which.")] = False,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="An origin whose pages may call the server; repeatable.")
    ] = None,
    allow_header: Annotated[
        list[str] | None, typer.Option("--allow-header", help="A request header that those pages may send; repeatable.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option("--allowed-host", help="A name the server is known under; repeatable.")
    ] = None,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds that runs get to end when the server is stopped.")
    ] = 10.0,
    log_level: Annotated[str, typer.Option("--log-level", help="critical, error, warning, info or debug.")] = "info",
    db: Db = None,
    broker: BrokerUrl = None,
) -> None:
    """Serve workflows over HTTP: runs, events, answers, sessions."""
    from .codes import leave
    from .serve import serve

    leave(
        lambda: serve(
            targets,
            host=host,
            port=port,
            db=db,
            broker=broker,
            auth=auth,
            jwt=jwt,
            origins=origin or [],
            allow_headers=allow_header or [],
            hosts=allowed_host or [],
            grace=grace,
            log_level=log_level,
        ),
        as_json=False,
    )


@app.command()
def worker(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:NAME...", help="Workflows: module:name, or path/to/file.py:name.")
    ],
    db: Db = None,
    broker: BrokerUrl = None,
    queues: Annotated[
        str, typer.Option("--queues", help="Names with commas between; the first that has a run goes first.")
    ] = "default",
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Runs that work at once.")] = 50,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds that runs get to end when the worker is stopped.")
    ] = 10.0,
    health_host: Annotated[str, typer.Option("--health-host", help="The address of --health-port.")] = "127.0.0.1",
    health_port: Annotated[
        int | None, typer.Option("--health-port", min=0, max=65535, help="Answer /health, /ready and /metrics there.")
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="critical, error, warning, info or debug.")] = "info",
) -> None:
    """Take queued runs until SIGTERM, and then end: runs that outlast --grace go on in another worker."""
    from .worker import work_on_queues

    work = partial(work_on_queues, targets, db=db, broker=broker, queues=queues, concurrency=concurrency, grace=grace)
    perform(lambda: work(health_host=health_host, health_port=health_port, log_level=log_level), as_json=False)


@queue_app.callback(invoke_without_command=True)
def queue(context: typer.Context, db: Db = None, as_json: AsJson = False) -> None:
    """Show the queues: what waits, since when, what runs, what is parked."""
    if context.invoked_subcommand is None:
        from .queues import show_queues

        perform(lambda: partial(show_queues, db, _console(), as_json=as_json), as_json=as_json)


@queue_app.command("park")
def queue_park(run_id: RunId, db: Db = None, as_json: AsJson = False) -> None:
    """Let a queued run wait until it is requeued."""
    from .queues import park_run

    perform(lambda: partial(park_run, db, _console(), run_id, as_json=as_json), as_json=as_json)


@queue_app.command("requeue")
def queue_requeue(run_id: RunId, db: Db = None, as_json: AsJson = False) -> None:
    """Let a parked or delayed run be taken now."""
    from .queues import let_go_of_run

    perform(lambda: partial(let_go_of_run, db, _console(), run_id, as_json=as_json), as_json=as_json)


@webhooks_app.command("list")
def webhooks_list(
    dead: Annotated[bool, typer.Option("--dead", help="Only those that failed too often.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """List what waits to be sent, and what failed too often."""
    from .webhooks import list_deliveries

    perform(lambda: partial(list_deliveries, db, _console(), dead=dead, limit=limit, as_json=as_json), as_json=as_json)


@webhooks_app.command("retry")
def webhooks_retry(
    hook: Annotated[str | None, typer.Option("--webhook", help="Only those of this webhook, by its name.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Only those of this run.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Let deliveries that failed too often be sent again."""
    from .webhooks import retry_deliveries

    perform(
        lambda: partial(retry_deliveries, db, _console(), hook=hook, run_id=run_id, as_json=as_json), as_json=as_json
    )


ScheduledWorkflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The id of the workflow.")]
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the schedule.")]


@schedule_app.callback(invoke_without_command=True)
def schedule(context: typer.Context, db: Db = None, as_json: AsJson = False) -> None:
    """Show the schedules, and when each runs next."""
    if context.invoked_subcommand is None:
        schedule_list(db, as_json)


@schedule_app.command("list")
def schedule_list(db: Db = None, as_json: AsJson = False) -> None:
    """Show the schedules, and when each runs next."""
    from .schedules import show_schedules

    perform(lambda: partial(show_schedules, db, _console(), as_json=as_json), as_json=as_json)


@schedule_app.command("add")
def schedule_add(
    workflow: ScheduledWorkflow,
    name: ScheduleName,
    input: Annotated[
        str | None, typer.Argument(help="Of each run: JSON, or text; - reads it from standard input.")
    ] = None,
    cron: Annotated[str | None, typer.Option("--cron", help="Five fields, as in '0 3 * * *'.")] = None,
    every: Annotated[str | None, typer.Option("--every", help="As in 90s, 15m, 12h, 1d.")] = None,
    tz: Annotated[str | None, typer.Option("--tz", help="The time zone of --cron; default: UTC.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The user of the runs.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="The session of all runs; default: one for each.")
    ] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="The queue of the runs.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="The priority of the runs.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Queue a run again and again; a schedule of the same name is replaced."""
    from .schedules import add_schedule
    from .source import parse_input, parse_seconds

    def work() -> Work:
        options = {
            "input": parse_input(input, as_text=False),
            "cron": cron,
            "every": None if every is None else parse_seconds(every),
            "tz": tz,
            "user_id": user,
            "session_id": session,
            "queue": queue,
            "priority": priority,
        }
        return partial(add_schedule, db, _console(), workflow, name, options, as_json=as_json)

    perform(work, as_json=as_json)


@schedule_app.command("remove")
def schedule_remove(workflow: ScheduledWorkflow, name: ScheduleName, db: Db = None, as_json: AsJson = False) -> None:
    """Delete a schedule; runs that it has queued stay."""
    from .schedules import remove_schedule

    perform(lambda: partial(remove_schedule, db, _console(), workflow, name, as_json=as_json), as_json=as_json)


@app.command()
def mcp(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE:NAME...", help="Workflows: module:name, or path/to/file.py:name.")
    ],
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds that runs get to end when the client has gone.")
    ] = 10.0,
    db: Db = None,
) -> None:
    """Offer workflows as MCP tools on standard input and output."""
    from .codes import leave
    from .mcp import mcp

    leave(lambda: mcp(targets, db=db, grace=grace), as_json=False)


@app.command()
def runs(
    session: Session = None,
    user: User = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="The workflow's id.")] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only runs with this status; may be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only runs with this tag; repeated: with all of them.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 20,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """List stored runs, newest first."""
    from .runs import list_runs

    where = partial(
        list_runs, session=session, user=user, workflow=workflow, status=status or (), tags=tag or (), limit=limit
    )
    perform(lambda: partial(where, db, _console(), as_json=as_json), as_json=as_json)


@app.command()
def show(
    run_id: RunId,
    step: Annotated[
        str | None, typer.Option("--step", help="Print the output of this step (path or name) and nothing else.")
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Print the traceback of each step that failed and nothing else.")
    ] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: when its steps ran, what they left, how it ended."""
    from .runs import show_run

    shown = partial(show_run, run_id=run_id, step=step, traceback=traceback, as_json=as_json)
    perform(lambda: partial(shown, db, _console()), as_json=as_json)


@app.command()
def tail(
    run_id: RunId,
    after: Annotated[
        str,
        typer.Option("--after", metavar="ID", help="Only events after this one: its id, such as 1-42, or its number."),
    ] = "0",
    markdown: Markdown = True,
    details: Details = True,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Follow a run from another terminal, from its beginning to its end. Ctrl-C stops looking."""
    from .follow import tail as work

    shown = partial(work, after=after, markdown=markdown, details=details, as_json=as_json)
    perform(lambda: partial(shown, db, _console(), run_id), as_json=as_json)


@app.command()
def pending(
    session: Session = None,
    user: User = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, oldest first.")] = 50,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person."""
    from .runs import pending as work

    perform(
        lambda: partial(work, db, _console(), session=session, user=user, limit=limit, as_json=as_json), as_json=as_json
    )


@app.command()
def answer(
    run_id: RunId,
    step: Annotated[str | None, typer.Option("--step", help="Which question: a step's name or path.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Confirm, or accept the output.")] = False,
    no: Annotated[bool, typer.Option("--no", "-n", help="Reject.")] = False,
    feedback: Annotated[str | None, typer.Option("--feedback", help="With --no: what is wrong.")] = None,
    value: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A field of the form; may be repeated.")
    ] = None,
    choose: Annotated[
        list[str] | None, typer.Option("--choose", metavar="NAME", help="A route; may be repeated.")
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option("--edit", metavar="FILE", help="Accept with this output instead; - reads standard input."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the failed step again.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Go on without the failed step.")] = False,
    whole: Annotated[
        str | None,
        typer.Option("--answer", metavar="JSON", help="The whole answer, of the schema in wfr pending --json."),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Answer a paused run; without options, at this terminal. The first answer wins."""
    from .people import Answer
    from .people import answer as work

    given = Answer(step, yes, no, feedback, value or (), choose or (), edit, retry, skip, whole)
    perform(partial(work, db, _console(), run_id, given, as_json=as_json), as_json=as_json)


@app.command()
def send(
    run_id: RunId,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What the step receives from.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="JSON; what is no JSON is sent as text. - reads standard input."),
    ] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Your name for the message: sent again with it, it counts once.")
    ] = None,
    only_if_awaited: Annotated[
        bool, typer.Option("--only-if-awaited", help="Refuse it unless a step waits for the topic now.")
    ] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Send a message to a run, for a step that waits for its topic now or later."""
    from .sending import send as work

    shown = partial(work, topic=topic, value=value, message_id=message_id, only_if_awaited=only_if_awaited)
    perform(partial(shown, db, _console(), run_id, as_json=as_json), as_json=as_json)


@app.command()
def cancel(
    run_id: RunId,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the run to end.")] = 15.0,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a run, whichever process runs it."""
    from .people import cancel as work

    perform(lambda: partial(work, db, _console(), run_id, wait=wait, as_json=as_json), as_json=as_json)


StepPath = Annotated[
    str, typer.Argument(metavar="PATH", help="The step's path, as wfr show --json and events have it: 0.fetch/1.parse.")
]
Reason = Annotated[str | None, typer.Option("--reason", help="Text for the log and the step's output.")]


@app.command()
def cancel_step(run_id: RunId, path: StepPath, reason: Reason = None, db: Db = None, as_json: AsJson = False) -> None:
    """Cancel one step of a run, which continues without it."""
    from .steering import steer as work

    given = partial(work, action="cancel", path=path, reason=reason, as_json=as_json)
    perform(partial(given, db, _console(), run_id), as_json=as_json)


@app.command()
def skip_step(run_id: RunId, path: StepPath, reason: Reason = None, db: Db = None, as_json: AsJson = False) -> None:
    """Skip one step of a run: the next one gets its input."""
    from .steering import steer as work

    given = partial(work, action="skip", path=path, reason=reason, as_json=as_json)
    perform(partial(given, db, _console(), run_id), as_json=as_json)


@app.command()
def retry_step(run_id: RunId, path: StepPath, reason: Reason = None, db: Db = None, as_json: AsJson = False) -> None:
    """End the attempt of one step of a run, and begin another one."""
    from .steering import steer as work

    given = partial(work, action="retry", path=path, reason=reason, as_json=as_json)
    perform(partial(given, db, _console(), run_id), as_json=as_json)


@app.command()
def requeue(run_id: RunId, db: Db = None, as_json: AsJson = False) -> None:
    """Let a run that was put aside be continued: its process had died too often in one step."""
    from .people import requeue as work

    perform(lambda: partial(work, db, _console(), run_id, as_json=as_json), as_json=as_json)


@app.command()
def graph(
    target: Target,
    form: Annotated[str, typer.Option("--format", "-f", help="text, mermaid, dot or svg.")] = "text",
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Write it there.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Colour what this run did.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Draw a workflow."""
    from .tidy import draw_graph

    work = partial(draw_graph, target, _console(), form=form, file=file, run_id=run_id, db=db, as_json=as_json)
    perform(work, as_json=as_json)


@app.command()
def export(
    run_id: RunId,
    html: Annotated[bool, typer.Option("--html", help="One self-contained page (the default).")] = False,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there; else to standard output.")
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Write all that is stored of a run into one file, to attach to a bug report."""
    from .tidy import export_run

    if html and as_json:
        typer.echo("wfr: --html or --json, not both", err=True)
        raise typer.Exit(Code.usage)
    perform(lambda: partial(export_run, db, _console(), run_id, file=file, as_json=as_json), as_json=as_json)


@app.command()
def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="Such as 12h, 30d or 2w.")],
    events: Annotated[bool, typer.Option("--events", help="Only the events of finished runs; the runs stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Delete finished runs (or only their events) that are older."""
    from .codes import Stop
    from .source import parse_seconds
    from .tidy import prune_runs

    try:
        seconds = parse_seconds(older_than)
    except Stop as stop:
        typer.echo(f"wfr: {stop.message}", err=True)
        raise typer.Exit(stop.code) from None
    if not yes and sys.stdin.isatty() and not as_json:
        what = "the events of finished runs" if events else "finished runs"
        typer.confirm(f"Delete {what} older than {older_than}?", abort=True)
    work = partial(prune_runs, db, _console(), seconds=seconds, events_only=events, as_json=as_json)
    perform(lambda: work, as_json=as_json)


@db_app.command("check")
def db_check(
    limit: Annotated[int, typer.Option("--limit", min=0, help="Read so many runs whole, newest first.")] = 1000,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Look for damage, for runs that cannot be read, and for runs whose process died. Exit code 7: something is wrong."""
    from .health import check

    perform(lambda: partial(check, db, _console(), limit=limit, as_json=as_json), as_json=as_json)


@db_app.command("vacuum")
def db_vacuum(db: Db = None, as_json: AsJson = False) -> None:
    """Give the space of deleted runs and events back to the disk. Runs that are under way wait for a moment."""
    from .health import vacuum

    perform(lambda: partial(vacuum, db, _console(), as_json=as_json), as_json=as_json)


@app.command()
def bench(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:NAME | URL]", help="Put load on this workflow instead of running the cases."),
    ] = None,
    input: Annotated[
        str | None, typer.Argument(help="Of each run: JSON, or text; - reads it from standard input.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be repeated.")] = None,
    toy: Annotated[bool, typer.Option("--toy", help="Small, to see that all works; the figures mean nothing.")] = False,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Fresh processes of each case.")] = 3,
    postgres: Annotated[str | None, typer.Option("--postgres", metavar="URL", help="An empty database to use.")] = None,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Measure on uvloop.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", help="Load: for how long runs begin.")] = 10.0,
    runs: Annotated[int | None, typer.Option("--runs", help="Load: at most so many runs.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Load: at most so many at once.")] = 10,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Load: arrivals a second; default: as fast as it can.")
    ] = None,
    one_session: Annotated[bool, typer.Option("--one-session", help="Load: all runs in one session.")] = False,
    token: Annotated[str | None, typer.Option("--token", help="Load on a server: the bearer token.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Measure this library on this machine, or a workflow of yours under load."""
    from ..bench.load import Load
    from .codes import Stop
    from .measure import measure_cases, measure_load
    from .source import parse_input

    def work() -> Work:
        if target is None:
            measured = partial(measure_cases, case or [], _console(), toy=toy, rounds=rounds)
            return measured(postgres=postgres, uvloop=uvloop, as_json=as_json)
        try:
            load = Load(seconds=seconds, runs=runs, concurrency=concurrency, rate=rate, session=one_session)
        except ValueError as error:
            raise Stop(Code.usage, str(error)) from None
        given = parse_input(input, as_text=False)
        return measure_load(target, given, load, _console(), db=db, token=token, as_json=as_json)

    perform(work, as_json=as_json)
