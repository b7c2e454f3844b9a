"""Reading a line, a choice or a text from a person, with prompt_toolkit. The event loop is never blocked: each prompt
runs in a worker thread, on any backend, and is put away when the task that waits for it is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from prompt_toolkit.validation import ValidationError, Validator

from ..view.clean import one_line
from .editor import chosen_editor, edit
from .person import Interrupted, Left
from .threads import in_thread

__all__ = ["Terminal"]


class _PutAway(Exception):
    """This prompt is not awaited any more."""


class Terminal:
    """The person at this terminal. ``input`` and ``output`` are prompt_toolkit's, for tests."""

    def __init__(
        self, *, input: Input | None = None, output: Output | None = None, history: History | None = None
    ) -> None:
        self._input = input
        self._output = output
        self._history = history

    async def line(
        self,
        label: str,
        *,
        default: str = "",
        check: Callable[[str], Any] | None = None,
        words: Sequence[str] = (),
    ) -> str:
        session: PromptSession[str] = PromptSession(
            history=self._history,
            completer=WordCompleter([one_line(word) for word in words], sentence=True) if words else None,
            complete_while_typing=False,  # with Tab
            validator=_Check(check) if check is not None else None,
            validate_while_typing=False,
            interrupt_exception=Interrupted,
            eof_exception=Left,
            input=self._input,
            output=self._output,
        )
        message = FormattedText([("bold", f"{one_line(label)} ")])
        return await self._answer(session, partial(session.prompt, message, default=default))

    async def text(self, label: str, default: str, suffix: str) -> str:
        editor = chosen_editor()
        if editor:
            return await in_thread(partial(edit, editor, default, suffix), abandon=False)
        session: PromptSession[str] = PromptSession(
            multiline=True,
            interrupt_exception=Interrupted,
            eof_exception=Left,
            input=self._input,
            output=self._output,
        )
        message = FormattedText([("bold", f"{one_line(label)} "), ("", "(Esc then Enter ends it)\n")])
        return await self._answer(session, partial(session.prompt, message, default=default))

    async def _answer(self, session: PromptSession[str], ask: Callable[[], str]) -> str:
        answer: list[str] = []
        failure: list[Exception] = []
        done = anyio.Event()

        async def wait() -> None:
            with anyio.CancelScope(shield=True):
                try:
                    answer.append(await in_thread(ask, abandon=False))
                except Exception as error:
                    failure.append(error)
                finally:
                    done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            try:
                await done.wait()
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    while not done.is_set():  # it may be about to start
                        _put_away(session)
                        with anyio.move_on_after(0.05):
                            await done.wait()
                raise
        if failure:
            raise failure[0]
        return answer[0]


def _put_away(session: PromptSession[str]) -> None:
    """End the prompt, from outside its thread."""
    app = session.app
    loop = app.loop

    def leave() -> None:
        if app.is_running and app.future is not None and not app.future.done():
            app.exit(exception=_PutAway(), style="class:aborting")

    if loop is not None and not loop.is_closed():
        try:
            loop.call_soon_threadsafe(leave)
        except RuntimeError:  # it has ended by itself in this moment
            return


class _Check(Validator):
    def __init__(self, check: Callable[[str], Any]) -> None:
        self._check = check

    def validate(self, document: Document) -> None:
        try:
            self._check(document.text)
        except ValueError as error:
            raise ValidationError(len(document.text), one_line(error)) from None
