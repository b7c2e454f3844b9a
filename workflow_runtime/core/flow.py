"""The outputs and media so far in a sequence, from which each step's input is built."""

from __future__ import annotations

from typing import Any

from ..model.media import Audio, File, Image, Video
from ..model.session import WorkflowSession
from ..model.step_io import Lookup, StepFailure, StepInput, StepOutput, deepest, handed_on, ran_nothing

__all__ = ["Flow", "gather_media"]

_SAME: Any = object()  # None is an input like any other


class Flow:
    """The state of one sequence. Steps of a sequence share ``outputs``; a container's children get a fork of it."""

    __slots__ = (
        "additional_data",
        "audio",
        "failure",
        "files",
        "history_runs",
        "images",
        "input",
        "last",
        "lookup",
        "outputs",
        "session",
        "videos",
    )

    def __init__(
        self,
        input: Any,
        additional_data: dict[str, Any] | None = None,
        session: WorkflowSession | None = None,
        images: list[Image] | None = None,
        videos: list[Video] | None = None,
        audio: list[Audio] | None = None,
        files: list[File] | None = None,
        history_runs: int | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self.input = input
        self.additional_data = additional_data
        self.session = session
        self.history_runs = history_runs
        self.lookup = lookup
        self.outputs: dict[str, StepOutput] = {}
        self.last: StepOutput | None = None
        self.failure: StepFailure | None = None  # what an error handler is called for
        # Lists of our own: the caller's are never extended.
        self.images = list(images) if images else None
        self.videos = list(videos) if videos else None
        self.audio = list(audio) if audio else None
        self.files = list(files) if files else None

    def fork(self, input: Any = _SAME, additional: dict[str, Any] | None = None) -> Flow:
        """The same state for the children of a container; their additions do not reach the container."""
        child = Flow(
            self.input if input is _SAME else input,
            {**(self.additional_data or {}), **additional} if additional else self.additional_data,
            self.session,
            self.images,
            self.videos,
            self.audio,
            self.files,
            self.history_runs,
            self.lookup,
        )
        child.outputs = dict(self.outputs)
        child.last = self.last
        child.failure = self.failure
        return child

    def step_input(self, additional: dict[str, Any] | None = None, history_runs: int | None = None) -> StepInput:
        """The input of the next step of this sequence. ``additional`` is put over the run's additional data;
        ``history_runs`` stands in for the workflow's number of runs in the history."""
        last = self.last
        content = (self._content(last) if last.steps else last.content) if last is not None else None
        return StepInput(
            self.input,
            content,
            self.outputs,
            {**(self.additional_data or {}), **additional} if additional else self.additional_data,
            self.images,
            self.videos,
            self.audio,
            self.files,
            self.session,
            self.history_runs if history_runs is None else history_runs,
            self.lookup,
            self.failure,
        )

    @property
    def _as_agno(self) -> bool:
        return self.lookup is not None and self.lookup.as_agno

    def _content(self, last: StepOutput) -> Any:
        return deepest(last) if self._as_agno else handed_on(last)

    def advance(self, name: str, output: StepOutput) -> None:
        """The step ``name`` has ended."""
        self.outputs[name] = output
        if not output.skipped and (output.steps is None or self._as_agno or not ran_nothing(output)):
            self.last = output
        # New lists instead of extending: an earlier step's input keeps its own lists.
        if output.images:
            self.images = [*(self.images or ()), *output.images]
        if output.videos:
            self.videos = [*(self.videos or ()), *output.videos]
        if output.audio:
            self.audio = [*(self.audio or ()), *output.audio]
        if output.files:
            self.files = [*(self.files or ()), *output.files]


def gather_media(output: StepOutput, children: list[StepOutput]) -> StepOutput:
    """Give a container's output the media of its children, in their order."""
    for child in children:
        if child.images:
            output.images = [*(output.images or ()), *child.images]
        if child.videos:
            output.videos = [*(output.videos or ()), *child.videos]
        if child.audio:
            output.audio = [*(output.audio or ()), *child.audio]
        if child.files:
            output.files = [*(output.files or ()), *child.files]
    return output
