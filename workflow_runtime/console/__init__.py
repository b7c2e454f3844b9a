"""The terminal: ``print_response``, ``cli_app`` and what draws them. Needs the extra ``console``.

This room uses the public API and ``view`` (what is seen of a run, as data) only, and the engine never imports it. From
the inside out: ``render``, ``panels`` and ``gantt`` turn a view into what rich draws; ``live``, ``lines`` and
``notebook`` show it; ``follow`` reads the events of a run into them; ``ask`` and ``prompts`` answer a paused run;
``response`` is ``print_response``; ``app`` is ``cli_app``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["acli_app", "aprint_response", "cli_app", "missing"]

_MISSING = (
    "{verb} needs a package that is not installed (no module named {name!r}). "
    "Install it with:  pip install 'workflow-runtime[{extra}]'"
)


async def aprint_response(workflow: Any, input: Any = None, **options: Any) -> None:
    """See ``Workflow.aprint_response``."""
    try:
        from .response import respond
    except ModuleNotFoundError as error:
        raise missing("print_response", error) from error
    await respond(workflow, input, **options)


async def acli_app(workflow: Any, input: str | None = None, **options: Any) -> None:
    """See ``Workflow.acli_app``."""
    try:
        from .app import chat
    except ModuleNotFoundError as error:
        raise missing("cli_app", error) from error
    await chat(workflow, input, **options)


def cli_app(workflow: Any, call: Callable[[Callable[[], Any]], Any], **options: Any) -> None:
    """See ``Workflow.cli_app``. ``call`` runs a coroutine function on another thread's event loop and waits for it: Ctrl-C
    comes to this thread, and is passed on."""
    try:
        from .app import Chat
        from .signals import on_ctrl_c
    except ModuleNotFoundError as error:
        raise missing("cli_app", error) from error
    chat = Chat(workflow, **options)
    with on_ctrl_c(chat.interrupt):
        call(chat.run)


def missing(verb: str, error: ModuleNotFoundError, extra: str = "console") -> ModuleNotFoundError:
    """The error that names the extra to install; ``error`` itself when one of our own modules is what is missing."""
    name = (error.name or "").partition(".")[0]
    if name == "workflow_runtime":
        return error
    return ModuleNotFoundError(_MISSING.format(verb=verb, name=name, extra=extra), name=error.name)
