"""``wfr serve``: workflows over HTTP. The extra ``server``."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..model.text import with_article
from .codes import Code, Stop
from .source import load_all, named

__all__ = ["serve"]

_JWT = "WFR_JWT_"
LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")


def serve(
    targets: Sequence[str],
    *,
    host: str,
    port: int,
    db: str | None,
    broker: str | None = None,
    auth: str | None,
    jwt: bool,
    origins: Sequence[str],
    allow_headers: Sequence[str],
    hosts: Sequence[str],
    grace: float,
    log_level: str,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Stop names what is wrong before anything is opened."""
    if log_level not in LOG_LEVELS:
        raise Stop(Code.usage, f"--log-level {log_level!r} is not one of {', '.join(LOG_LEVELS)}")
    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise Stop(Code.usage, "wfr serve needs the extra: pip install 'workflow-runtime[cli,server]'")
    from ..server import Limits, workflow_app
    from ..server.running import bind, refuse_open_door, run, server_for

    who: Any = _jwt_auth() if jwt else named(auth) if auth is not None else None
    if who is not None and not callable(who):
        raise Stop(
            Code.usage, f"--auth {auth} is {with_article(type(who).__name__)}, not something to call with a request"
        )
    authenticate: Any = who  # what it gives for a request, the request finds out
    limits = Limits()
    try:
        refuse_open_door(host, who is not None)
        app = workflow_app(
            load_all(targets, db, broker),
            auth=authenticate,
            origins=origins,
            allow_headers=allow_headers,
            hosts=hosts or None,
            limits=limits,
            grace=grace,
        )
    except ValueError as error:
        raise Stop(Code.usage, str(error)) from None
    server = server_for(app, host, port, limits=limits, grace=grace, log_level=log_level)
    try:
        listening = bind(server, limits)
    except OSError as error:
        why = error.strerror or str(error)
        raise Stop(
            Code.usage, f"cannot listen at {host}, port {port}: {why}; choose another --host or --port (0: a free port)"
        ) from None
    with listening:
        at = listening.getsockname()
        sys.stderr.write(f"wfr: serving {', '.join(app.state.service.workflows)} at http://{host}:{at[1]}\n")
        sys.stderr.flush()
        run(server, listening)


def _jwt_auth() -> Any:
    """JwtAuth as the environment says: WFR_JWT_KEY or WFR_JWT_JWKS_URL, and ..._ALGORITHMS, AUDIENCE, ISSUER, COOKIE."""
    from ..server import JwtAuth

    said = {name.removeprefix(_JWT).lower(): value for name, value in os.environ.items() if name.startswith(_JWT)}
    unknown = said.keys() - {
        "key",
        "jwks_url",
        "algorithms",
        "audience",
        "issuer",
        "cookie",
        "user_claim",
        "admin_claim",
    }
    if unknown:
        raise Stop(Code.usage, f"{_JWT}{sorted(unknown)[0].upper()} is not known")
    options: dict[str, Any] = dict(said)
    if "algorithms" in said:
        options["algorithms"] = [part.strip() for part in said["algorithms"].split(",") if part.strip()]
    try:
        return JwtAuth(**options)
    except ValueError as error:
        raise Stop(Code.usage, f"--jwt: {error}; set {_JWT}KEY or {_JWT}JWKS_URL") from None
