"""Verbs that show a run to a person. What draws is imported at the first call: it is the extra ``console``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from .. import engine
from ..model.errors import InputError
from ..model.media import Audio, File, Image, Video
from .base import Verbs

__all__ = ["ConsoleVerbs"]


class ConsoleVerbs(Verbs):
    async def aprint_response(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        stream: bool | None = None,
        markdown: bool = True,
        show_time: bool = True,
        show_step_details: bool = True,
        console: Any = None,
        *,
        interactive: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Run the workflow and show it: a live tree on a terminal, plain lines in a pipe.

        Args:
            stream: Show text while it is made; None: as the workflow says, else on a terminal.
            markdown: Lay out text as Markdown.
            show_time: Show how long everything took.
            show_step_details: Show the output of each step, not only the answer.
            console: A rich Console to draw on.
            interactive: Ask a person here where the run pauses; None: if both ends are a terminal. Otherwise say how to
                continue the run.
            **kwargs: Further arguments of ``arun``, such as ``run_id`` and ``session_state``.

        Raises:
            Exception: What the run failed with, after it was shown.
            ModuleNotFoundError: The extra ``console`` is not installed.
        """
        refuse_console(console)
        from ..console import aprint_response

        options = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "aprint_response")}
        await aprint_response(self, **options, **kwargs)

    def print_response(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        stream: bool | None = None,
        markdown: bool = True,
        show_time: bool = True,
        show_step_details: bool = True,
        console: Any = None,
        *,
        interactive: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """The same as ``aprint_response`` for code that is not async. Ctrl-C cancels the run."""
        options = {name: value for name, value in locals().items() if name not in ("self", "kwargs")}
        engine.portal.call(lambda: self.aprint_response(**options, **kwargs))

    async def acli_app(
        self,
        input: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        user: str = "User",
        emoji: str = ":technologist:",
        stream: bool | None = None,
        markdown: bool = True,
        show_time: bool = True,
        show_step_details: bool = True,
        exit_on: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """A conversation with the workflow over one session, until the person leaves.

        Ctrl-C cancels the run that is going on, Ctrl-D leaves; ``/help`` lists the commands.

        Args:
            input: What is said first.
            user, emoji: Who is asked to type.
            exit_on: Words that end it; None: exit, quit, bye, stop.
            **kwargs: Further arguments of ``arun`` for each run, and ``console``.
        """
        self._refuse_options(kwargs)
        from ..console import acli_app

        options = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "acli_app")}
        await acli_app(self, **options, **kwargs)

    def cli_app(
        self,
        input: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        user: str = "User",
        emoji: str = ":technologist:",
        stream: bool | None = None,
        markdown: bool = True,
        show_time: bool = True,
        show_step_details: bool = True,
        exit_on: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """The same as ``acli_app`` for code that is not async."""
        self._refuse_options(kwargs)
        from ..console import cli_app

        options = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "cli_app")}
        cli_app(self, engine.portal.call, **options, **kwargs)

    def _refuse_options(self, options: dict[str, Any]) -> None:
        """Before anybody has typed anything: TypeError for an option that no run takes, InputError for a wrong console."""
        refuse_console(options.get("console"))
        known = inspect.signature(self.arun).parameters  # type: ignore[attr-defined]  # it is a Workflow
        call = {name: None for name in known if name not in ("self", "kwargs")} | {"console": None, "prompter": None}
        further = {name: value for name, value in options.items() if name not in call}
        engine.inputs.refuse_unknown({**call, "kwargs": further}, self.definition().function)


def refuse_console(console: Any) -> None:
    """InputError for what cannot be drawn on."""
    if console is not None and not (hasattr(console, "print") and hasattr(console, "is_terminal")):
        raise InputError(f"console={console!r} must be a rich Console; write console=rich.console.Console()")
