"""In a real (pseudo) terminal: streaming, answering, Ctrl-C, resizing, two terminals on one file."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pexpect
import pytest
from console.emulator import Emulator

HERE = Path(__file__).parent
PATH = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
WFR = [sys.executable, "-m", "workflow_runtime.cli"]
_CONTROL = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]|\r")


class Terminal:
    """A program in a terminal of its own. ``sees`` waits until a text has appeared since the last call."""

    def __init__(self, *command: str, size: tuple[int, int] = (30, 80), **env: str) -> None:
        self.text = ""  # all that was written, with its controls
        self._seen = 0
        self.child = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(HERE),
            env={**_environment(), "TERM": "xterm-256color", "PYTHONPATH": PATH, "PROMPT_TOOLKIT_NO_CPR": "1", **env},
            dimensions=size,
            encoding="utf-8",
            timeout=90,
        )

    @property
    def plain(self) -> str:
        return _CONTROL.sub("", self.text)

    def sees(self, *texts: str) -> None:
        for text in texts:
            while text not in self.plain[self._seen :]:
                try:
                    self.text += self.child.read_nonblocking(65536, timeout=90)
                except (pexpect.EOF, pexpect.TIMEOUT):
                    raise AssertionError(f"{text!r} did not come; the end was: {self.plain[-1500:]}") from None
            self._seen = self.plain.index(text, self._seen) + len(text)

    def types(self, text: str) -> None:
        self.child.send(text)

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """All that the program has written is in ``text``, and it writes no more in this block."""
        os.kill(self.child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED | os.WNOWAIT)
        with suppress(pexpect.TIMEOUT):
            while True:
                self.text += self.child.read_nonblocking(65536, timeout=1)
        yield
        os.kill(self.child.pid, signal.SIGCONT)

    def ends(self) -> int:
        """Its exit code."""
        while True:
            try:
                self.text += self.child.read_nonblocking(65536, timeout=90)
            except pexpect.EOF:
                break
        self.child.wait()  # it lets go of the terminal before it ends; ``close`` would kill it
        self.child.close()
        assert self.child.exitstatus is not None, self.plain[-1500:]
        return int(self.child.exitstatus)


def _environment() -> dict[str, str]:
    """This process's, without the width that readline writes into it: a terminal that is resized has its own."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """``terminal("run", "flows:ask")``: the command, with a database of its own."""
    opened: list[Terminal] = []

    def run(*arguments: str, program: list[str] = WFR, **options: Any) -> Terminal:
        options.setdefault("WFR_DB", f"sqlite:///{tmp_path / 'runs.db'}")
        opened.append(Terminal(*program, *arguments, **options))
        return opened[-1]

    yield run
    for found in opened:
        if found.child.isalive():
            found.child.close(force=True)


def test_text_is_seen_while_it_is_made_and_ctrl_c_cancels_the_run(terminal: Open) -> None:
    wfr = terminal("run", "flows:slow", "hi")
    wfr.sees("Slow", "word3 ", "Ctrl-C cancels")
    wfr.child.sendintr()
    wfr.sees("talk  cancelled", "Cancelled in")
    assert wfr.ends() == 130
    assert wfr.text.rindex("\x1b[?25h") > wfr.text.rindex("\x1b[?25l")


def test_a_question_is_answered_and_the_run_goes_on(terminal: Open) -> None:
    wfr = terminal("run", "flows:ask", "hi")
    wfr.sees("Publish it?", "continue? [y/n]")
    wfr.types("y\r")
    wfr.sees("publish: yes", "✔ publish", "Completed in")
    assert wfr.ends() == 0


def test_a_form_is_filled_and_a_slip_can_be_mended(terminal: Open) -> None:
    wfr = terminal("run", "flows:form", "hi")
    wfr.sees("copies (whole number):")
    wfr.types("many\r")
    wfr.sees("whole number")
    wfr.types("\x15" + "3\r")
    wfr.sees("size (text, optional):")
    wfr.types("\r")
    wfr.sees("Completed in", '"copies": 3')
    assert wfr.ends() == 0


def test_an_output_is_edited_in_the_persons_editor(terminal: Open, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "from the editor" > "$1"\n')
    editor.chmod(0o700)
    wfr = terminal("run", "flows:review", "hi", EDITOR=str(editor), VISUAL="")
    wfr.sees("accept, edit or reject?")
    wfr.types("e\r")
    wfr.sees("draft: edited", "from the editor")
    assert wfr.ends() == 0


def test_ctrl_d_leaves_the_run_paused_and_ctrl_c_cancels_it(terminal: Open) -> None:
    wfr = terminal("run", "flows:ask", "hi")
    wfr.sees("continue? [y/n]")
    wfr.types("\x04")
    wfr.sees("Paused after", "wfr answer")
    assert wfr.ends() == 3
    wfr = terminal("run", "flows:ask", "hi")
    wfr.sees("continue? [y/n]")
    wfr.types("\x03")
    wfr.sees("Cancelled")
    assert wfr.ends() == 130
    wfr = terminal("run", "flows:ask", "hi", "--run-id", "r1")
    wfr.sees("continue? [y/n]")
    wfr.types("\x04")
    assert wfr.ends() == 3
    wfr = terminal("continue", "flows:ask", "r1")
    wfr.sees("continue? [y/n]")
    wfr.types("\x03")
    wfr.sees("Cancelled")
    assert wfr.ends() == 130
    wfr = terminal("fork", "flows:ask", "r1", "--at", "0.shout")
    wfr.sees("continue? [y/n]")
    wfr.types("\x03")
    wfr.sees("Cancelled")
    assert wfr.ends() == 130


@pytest.mark.parametrize(("before", "after"), [(100, 50), (50, 100)])
def test_a_resize_in_the_middle_leaves_one_whole_picture(terminal: Open, before: int, after: int) -> None:
    wfr = terminal("run", "flows:slow", "hi", size=(30, before))
    wfr.sees("word9 ", "Ctrl-C cancels")
    screen = Emulator(before)
    with wfr.held_still():
        at = len(wfr.text)
        screen.write(wfr.text)
        wfr.child.setwinsize(30, after)
        screen.resize(after)
    wfr.sees("word30 ", "Ctrl-C cancels", "word60 ", "Ctrl-C cancels")
    screen.write(wfr.text[at:])
    region = screen.text[3:]  # below the panel, which was printed for good
    assert len([line for line in region if "Ctrl-C cancels" in line]) == 1
    assert len([line for line in region if line.startswith("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[0]) or " talk " in f"{line} "]) <= 3
    assert all(len(line) <= after for line in region)
    wfr.child.sendintr()
    wfr.sees("Cancelled in")
    assert wfr.ends() == 130


def test_one_terminal_runs_another_follows_and_a_third_answers(terminal: Open) -> None:
    runs = terminal("run", "flows:ask", "hi", "--run-id", "r1")
    runs.sees("continue? [y/n]")
    follows = terminal("tail", "r1")
    follows.sees("✔ shout", "waiting for you", "Ctrl-C stops looking")
    answers = terminal("answer", "r1", "--yes")
    answers.sees("answered: publish")
    assert answers.ends() == 0
    runs.sees("answered elsewhere", "✔ publish", "Completed in")
    assert runs.ends() == 0
    follows.sees("✔ publish", "Completed in")
    assert follows.ends() == 0


def test_without_a_person_the_run_can_wait_for_an_answer_from_elsewhere(terminal: Open) -> None:
    runs = terminal("run", "flows:ask", "hi", "--run-id", "r1", "--no-interactive", "--wait")
    runs.sees("publish waits: Publish it?")
    assert terminal("answer", "r1", "--no", "--feedback", "no").ends() == 0
    runs.sees("Completed in")
    assert runs.ends() == 0


def test_a_run_is_cancelled_from_another_terminal(terminal: Open) -> None:
    runs = terminal("run", "flows:slow", "hi", "--run-id", "r1")
    runs.sees("word3 ")
    follows = terminal("tail", "r1")
    follows.sees("word")
    cancels = terminal("cancel", "r1")
    cancels.sees("run r1 is CANCELLED")
    assert cancels.ends() == 0
    runs.sees("Cancelled in")
    assert runs.ends() == 4
    follows.sees("Cancelled in")
    assert follows.ends() == 4


def test_to_stop_looking_does_not_touch_the_run(terminal: Open) -> None:
    runs = terminal("run", "flows:slow", "hi", "--run-id", "r1")
    runs.sees("word3 ")
    follows = terminal("tail", "r1")
    follows.sees("word", "Ctrl-C stops looking")
    follows.child.sendintr()
    follows.sees("the run continues")
    assert follows.ends() == 130
    runs.sees("word100 ")
    runs.child.kill(signal.SIGINT)
    assert runs.ends() == 130


def test_a_terminal_without_colours_or_without_a_cursor_is_heeded(terminal: Open) -> None:
    plain = terminal("run", "flows:broken", "hi", NO_COLOR="1")
    assert plain.ends() == 1
    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m", plain.text)
    assert "\x1b[?25l" in plain.text
    dumb = terminal("run", "flows:broken", "hi", TERM="dumb")
    assert dumb.ends() == 1
    assert "\x1b" not in dumb.text
    assert "failed   refuse" in dumb.text


CHAT = """
import anyio
from workflow_runtime import Step, Workflow
async def talk(step_input):
    if step_input.input == "long":
        for number in range(10_000):
            yield f"word{number} "
            await anyio.sleep(0.02)
    yield f"you said {step_input.input}"
Workflow(name="Chat", steps=[Step(name="talk", executor=talk)]).cli_app()
print("left well")
"""


def test_in_a_chat_ctrl_c_ends_the_run_and_ctrl_d_the_chat(terminal: Open) -> None:
    chat = terminal(program=[sys.executable, "-c", CHAT])
    chat.sees("User", ">")
    chat.types("hello\r")
    chat.sees("Completed in", "you said hello", "User", ">")
    chat.types("long\r")
    chat.sees("word5 ", "Ctrl-C cancels")
    chat.child.sendintr()
    chat.sees("Cancelled in", "User", ">")
    chat.types("\x1b[A\x1b[A\r")  # up, up: what was said before
    chat.sees("you said hello", "User", ">")
    chat.types("/exp\t")
    chat.sees("/export")
    chat.types("\x15/history\r")
    chat.sees("you said hello", "User", ">")
    chat.types("\x03")
    chat.sees("Ctrl-D leaves", ">")
    chat.types("\x04")
    chat.sees("left well")
    assert chat.ends() == 0
    assert "Traceback" not in chat.plain


HOSTILE = r"""
from workflow_runtime import Step, UserInputField, Workflow
text = "\x1b[2J\x1b[H\x1b]0;owned\x07continue? [y/n] y\r\nCompleted in 0s\x9b5A"
steps = [Step(name="evil\x1b[31m\n" + "x" * 200, executor=lambda step_input: text),
         Step(name="ask", executor=lambda step_input: text, requires_confirmation=True, confirmation_message=text)]
Workflow(name="W\x1b[2J", description=text, steps=steps).print_response(text)
"""


def test_nothing_that_others_wrote_reaches_the_terminal_as_a_control(terminal: Open) -> None:
    shown = terminal(program=[sys.executable, "-c", HOSTILE])
    shown.sees("waits for you", "continue? [y/n]")
    shown.types("y\r")
    shown.sees("ask: yes", "Completed in")
    assert shown.ends() == 0
    for control in ("\x1b[2J", "\x1b]0;", "\x9b", "\x07"):
        assert control not in shown.text
    assert "␛[2J␛[H␛]0;owned␇" in shown.plain


SHOWN = """
import anyio
from workflow_runtime import Step, Workflow
async def talk(step_input):
    for number in range(10_000):
        yield f"word{number} "
        await anyio.sleep(0.02)
workflow = Workflow(name="Talk", steps=[Step(name="talk", executor=talk)])
try:
    VERB
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("verb", ["workflow.print_response('hi')", "anyio.run(workflow.aprint_response, 'hi')"])
def test_ctrl_c_in_a_script_cancels_the_run_shows_it_and_is_raised(terminal: Open, verb: str) -> None:
    script = terminal(program=[sys.executable, "-c", SHOWN.replace("VERB", verb)])
    script.sees("word5 ")
    script.child.sendintr()
    script.sees("talk  cancelled", "Cancelled in", "interrupted")
    assert script.ends() == 0
    assert "Traceback" not in script.plain


def test_a_shell_completes_commands_and_the_ids_of_runs(terminal: Open, tmp_path: Path) -> None:
    beside = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PS1": "$ "}
    assert terminal("run", "flows:hello", "hi", "--run-id", "run-of-ada").ends() == 0
    shell = terminal("--norc", "--noprofile", program=["bash"], **beside)
    shell.sees("$ ")
    shell.types('eval "$(wfr --show-completion bash)"; echo is rea""dy\r')
    shell.sees("is ready", "$ ")
    shell.types("wfr pen\t")
    shell.sees("wfr pending ")
    shell.types("\x15wfr show run-\t")
    shell.sees("wfr show run-of-ada")
    shell.types("\x15exit\r")
    assert shell.ends() == 0
