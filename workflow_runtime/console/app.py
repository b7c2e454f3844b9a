"""``cli_app``: a conversation with a workflow over one session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.emoji import Emoji
from rich.text import Text

from .. import WorkflowRunOutput
from ..view.clean import one_line
from ..view.tree import as_text
from .commands import COMMANDS, Leave, perform
from .person import Interrupted, Left, Prompter, at_this_terminal
from .response import continued, is_drawn, respond
from .screen import encodable
from .signals import Interruptible, on_ctrl_c
from .surface import Options
from .threads import in_thread

__all__ = ["EXIT_ON", "Chat", "chat"]

_EMOJI = {":technologist:": "\N{ADULT}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}"}  # newer than rich's table
EXIT_ON = ("exit", "quit", "bye", "stop")


async def chat(workflow: Any, input: str | None = None, **options: Any) -> None:
    """Talk until the person leaves."""
    app = Chat(workflow, input, **options)
    with on_ctrl_c(app.interrupt):
        await app.run()


class Chat:
    """The state of a conversation. ``interrupt`` may be called from a signal handler and from any thread."""

    def __init__(
        self,
        workflow: Any,
        input: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        user: str = "User",
        emoji: str = ":technologist:",
        stream: bool | None = None,
        markdown: bool = True,
        show_time: bool = True,
        show_step_details: bool = True,
        exit_on: Sequence[str] | None = None,
        console: Console | None = None,
        prompter: Prompter | None = None,
        **run: Any,
    ) -> None:
        self.workflow = workflow
        self.first = input
        self.session_id: str = workflow.resolve_session(session_id, user_id)
        self.user_id = user_id
        self.user = one_line(user)
        self.emoji = one_line(_EMOJI.get(emoji) or Emoji.replace(emoji))
        self.console = console or Console()
        if stream is None:
            stream = workflow.stream if workflow.stream is not None else is_drawn(self.console)
        self.options = Options(bool(stream), markdown, show_time, show_step_details, show_hints=False)
        self.exit_on = tuple(exit_on) if exit_on is not None else EXIT_ON
        self._prompter = prompter
        self._further = run
        self._outputs: list[WorkflowRunOutput] = []
        self._interruptible = Interruptible()

    def interrupt(self) -> None:
        """Cancel the current run, if there is one."""
        self._interruptible.interrupt()

    async def run(self) -> None:
        """Read and answer until the person leaves."""
        speaker, self._prompter = await self._people()
        await self._say(
            Text(f"{one_line(self.workflow.name or self.workflow.id)}. /help lists the commands.", style="dim")
        )
        if self.first is not None:
            await self.answer(self.first)
        while True:
            await self._say(Text(f"{self.emoji} {self.user}", style="bold cyan"))
            try:
                line = (await speaker.line(">", words=[f"/{name}" for name in COMMANDS])).strip()
            except Interrupted:
                await self._say(Text("Ctrl-D leaves", style="dim"))
                continue
            except Left:
                return
            try:
                if not await self._take(line):
                    return
            except Leave:
                return

    async def _take(self, line: str) -> bool:
        """Execute a line; False if it ends the chat."""
        if not line:
            return True
        if line in self.exit_on:
            return False
        if line.startswith("//"):
            line = line[1:]
        elif line.startswith("/"):
            with self._interruptible.work():
                shown = await perform(self, line)
                if shown is not None:
                    await self._say(shown)
            return True
        await self.answer(line)
        return True

    async def answer(self, text: str) -> None:
        """Run the workflow on the line; show how the run ended, and continue the chat."""
        await self._shown(
            respond,
            self.workflow,
            text,
            session_id=self.session_id,
            user_id=self.user_id,
            stream=self.options.stream,
            markdown=self.options.markdown,
            show_time=self.options.show_time,
            show_step_details=self.options.show_step_details,
            console=self.console,
            prompter=self._prompter,
            show_header=False,
            show_hints=False,
            **self._further,
        )

    async def resume(self, output: WorkflowRunOutput) -> None:
        """Ask the questions of a paused run, and continue it."""
        if output in self._outputs:
            self._outputs.remove(output)
        await self._shown(continued, self.workflow, output, self.console, self.options, self._prompter)

    async def _shown(self, function: Any, *args: Any, **options: Any) -> None:
        with self._interruptible.work() as scope:
            try:
                self._outputs.append(await function(*args, **options))
            except Exception as error:  # it was displayed before
                output = getattr(error, "run_output", None)
                if isinstance(output, WorkflowRunOutput):
                    self._outputs.append(output)
                else:
                    await self._say(Text(f"{type(error).__name__}: {one_line(error)}", style="red"))
        if not scope.cancelled_caught and self._outputs and self._outputs[-1].is_paused:
            await self._say(Text("/resume answers it here, /cancel drops it", style="dim"))

    async def _say(self, *parts: Any) -> None:
        for part in parts:
            await in_thread(partial(self.console.print, encodable(self.console, part)))

    async def _people(self) -> tuple[Prompter, Prompter]:
        """The prompter for lines, with the session's history; and the one for answers, without."""
        if self._prompter is not None:
            return self._prompter, self._prompter
        if not (sys.stdin is not None and sys.stdin.isatty()):
            from .piped import Piped

            return Piped(), Piped()
        said = [question for question, _ in await self.exchanges(50)]
        return at_this_terminal(said), at_this_terminal()

    # -- data for the commands -------------------------------------------------------------------------------------

    async def runs(self, count: int | None) -> list[WorkflowRunOutput]:
        """The session's runs, newest first."""
        if self.workflow.db is None:
            found = self._outputs
        else:
            session = await self.workflow.aget_session(self.session_id, last_n_runs=count)
            found = list((session.runs if session is not None else None) or [])
        return found[::-1][:count]

    async def exchanges(self, count: int | None) -> list[tuple[str, Any]]:
        """(input, answer) of the session's runs that have both, oldest first."""
        found = [(as_text(run.input), run.content) for run in (await self.runs(count))[::-1]]
        return [(said, answer) for said, answer in found if said and answer is not None]

    async def state(self) -> dict[str, Any]:
        if self.workflow.db is not None:
            found: dict[str, Any] = await self.workflow.aget_session_state(self.session_id)
            return found
        return (self._outputs[-1].session_state or {}) if self._outputs else {}
