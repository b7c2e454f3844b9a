"""Images and files that come in, are made on the way, and go out."""

from agno.media import Audio, File, Image, Video
from agno.workflow import Step, StepInput, StepOutput, Workflow


def look(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"saw {[image.url for image in step_input.images or []]}")


def draw(step_input: StepInput) -> StepOutput:
    return StepOutput(content="drew", images=[Image(url="https://example.com/drawn.png")])


def count(step_input: StepInput) -> StepOutput:
    return StepOutput(
        content=f"{len(step_input.images or [])} {len(step_input.videos or [])} {len(step_input.audio or [])}"
        f" {len(step_input.files or [])}"
    )


workflow = Workflow(name="Media", steps=[look, Step(name="draw", executor=draw), count])


def main(tape):
    output = tape.run(
        "run",
        workflow,
        input="x",
        images=[Image(url="https://example.com/in.png")],
        videos=[Video(url="https://example.com/in.mp4")],
        audio=[Audio(url="https://example.com/in.mp3")],
        files=[File(url="https://example.com/in.pdf")],
    )
    tape.note("out", [image.url for image in output.images])
    tape.note("bytes", Image(content=b"abc", mime_type="image/png").get_content_bytes())
    try:
        Image()
    except ValueError as error:
        tape.note("no source", type(error).__mro__[-3].__name__ != "")
