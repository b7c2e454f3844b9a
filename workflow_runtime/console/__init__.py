"""The terminal: ``print_response``, ``cli_app`` and their drawing. With prompt_toolkit, lines can be edited.

This package uses only the public API and ``view`` (a run for display, as data), and the engine never imports it. From the
inside out: ``render``, ``panels`` and ``gantt`` turn a view into objects that rich draws; ``live``, ``lines`` and
``notebook`` show it; ``follow`` reads the events of a run into them; ``ask`` and ``prompts`` answer a paused run;
``response`` is ``print_response``; ``app`` is ``cli_app``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["acli_app", "aprint_response", "cli_app"]


async def aprint_response(workflow: Any, input: Any = None, **options: Any) -> None:
    """See ``Workflow.aprint_response``."""
    from .response import respond

    await respond(workflow, input, **options)


async def acli_app(workflow: Any, input: str | None = None, **options: Any) -> None:
    """See ``Workflow.acli_app``."""
    from .app import chat

    await chat(workflow, input, **options)


def cli_app(workflow: Any, call: Callable[[Callable[[], Any]], Any], **options: Any) -> None:
    """See ``Workflow.cli_app``. ``call`` runs a coroutine function on another thread's event loop and waits for it: Ctrl-C
    arrives in this thread, and is passed on."""
    from .app import Chat
    from .signals import on_ctrl_c

    chat = Chat(workflow, **options)
    with on_ctrl_c(chat.interrupt):
        call(chat.run)
