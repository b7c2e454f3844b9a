"""Media: of every nested step it reaches the later steps and the run's output; the caller's lists are never extended."""

from __future__ import annotations

from typing import Any

import pytest
from verbs import Verb

from workflow_runtime import (
    Audio,
    BaseDb,
    Condition,
    File,
    Image,
    Loop,
    Map,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Video,
    Workflow,
)


async def make_media(step_input: StepInput) -> StepOutput:
    return StepOutput(
        "made",
        images=[Image(url="https://x/i.png")],
        videos=[Video(url="https://x/v.mp4")],
        audio=[Audio(content=b"\x00\x01")],
        files=[File(filepath="/tmp/f.txt")],
    )


async def count_media(step_input: StepInput) -> list[int]:
    kinds = (step_input.images, step_input.videos, step_input.audio, step_input.files)
    return [len(kind or ()) for kind in kinds]


CONTAINERS: dict[str, Any] = {
    "step": lambda step: step,
    "Steps": lambda step: Steps(name="box", steps=[step]),
    "Parallel": lambda step: Parallel(step, name="box"),
    "Loop": lambda step: Loop([step], name="box", max_iterations=1),
    "Condition": lambda step: Condition([step], name="box"),
    "Router": lambda step: Router([step], selector=lambda step_input: "make", name="box"),
    "Map": lambda step: Map(step, over=lambda step_input: [1], name="box"),
    "Workflow": lambda step: Workflow(name="box", steps=[step]),
    "deep": lambda step: Steps(name="box", steps=[Parallel(Loop([step], max_iterations=1))]),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_media_of_a_nested_step_reaches_later_steps_and_the_run(verb: Verb, container: str) -> None:
    def make(db: BaseDb) -> Workflow:
        steps = [
            CONTAINERS[container](Step(name="make", executor=make_media)),
            Step(name="count", executor=count_media),
        ]
        return Workflow(name="w", steps=steps, db=db, store_events=True)

    ran = verb(make, images=[Image(url="https://x/given.png")])
    assert ran.content == [2, 1, 1, 1]
    output = ran.output
    assert [image.url for image in output.images or ()] == ["https://x/given.png", "https://x/i.png"]
    assert [audio.content for audio in output.audio or ()] == [b"\x00\x01"]
    assert [file.filepath for file in output.files or ()] == ["/tmp/f.txt"]
    assert [video.url for video in output.videos or ()] == ["https://x/v.mp4"]


def test_a_later_step_of_the_same_sequence_sees_it_and_an_earlier_input_does_not_change() -> None:
    seen: list[StepInput] = []

    async def keep(step_input: StepInput) -> None:
        seen.append(step_input)

    steps = [
        Step(name="first", executor=keep),
        Step(name="make", executor=make_media),
        Step(name="second", executor=keep),
    ]
    Workflow(steps=[Steps(name="box", steps=steps)]).run("x", images=[Image(url="https://x/given.png")])
    assert [len(step_input.images or ()) for step_input in seen] == [1, 2]


def test_the_callers_lists_are_not_extended() -> None:
    images, files = [Image(url="https://x/given.png")], [File(url="https://x/f")]
    Workflow(steps=[make_media, make_media_again]).run("x", images=images, files=files)
    assert (len(images), len(files)) == (1, 1)


async def make_media_again(step_input: StepInput) -> StepOutput:
    return await make_media(step_input)


def test_branches_do_not_see_each_others_media_and_both_reach_the_run(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        left = Steps(name="left", steps=[Step(name="make", executor=make_media), Step(name="l", executor=count_media)])
        both = Parallel(left, Step(name="right", executor=count_media), name="both")
        return Workflow(name="w", steps=[both, Step(name="end", executor=count_media)], db=db, store_events=True)

    ran = verb(make, ordered=False)
    counts = {leaf.step_name: leaf.content for leaf in ran.output.step_results[0].walk()}
    assert (counts["l"], counts["right"], ran.content) == ([1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1])


@pytest.mark.parametrize("fields", [{}, {"url": "u", "content": b"c"}, {"url": "u", "filepath": "f"}])
def test_a_medium_has_exactly_one_source(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs exactly one of url, filepath or content"):
        Image(**fields)


def test_media_go_to_dictionaries_and_back() -> None:
    image = Image.from_base64("AAE=", format="png")
    assert image.get_content_bytes() == b"\x00\x01"
    assert Image(**{**image.to_dict(), "content": image.content}) == image
    assert image.to_dict()["content"] == "AAE="
    assert File(external={"id": 7}).url is None
