"""Pictures of a workflow: the same steps in every form, names of any kind, nothing to load."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import (
    Condition,
    HumanReview,
    Loop,
    Map,
    Outline,
    Parallel,
    Router,
    Step,
    StepInput,
    Steps,
    Workflow,
)
from workflow_runtime.view.drawing.canvas import draw
from workflow_runtime.view.drawing.svg import svg
from workflow_runtime.view.drawing.text import dot, mermaid
from workflow_runtime.view.drawing.width import cells

HOSTILE = 'x"];\n<script>alert(1)</script> & `#` \\ \x1b[31m |end| 漢字'


def work(step_input: StepInput) -> str:
    return "done"


def workflow(first: str = "find") -> Workflow:
    return Workflow(
        name="All kinds",
        steps=[
            Step(name=first, executor=work, max_retries=2),
            Parallel(
                Step(name="a", executor=work), Step(name="b", executor=work, requires_confirmation=True), name="both"
            ),
            Loop([Step(name="again", executor=work)], name="rounds", max_iterations=4),
            Condition([Step(name="yes", executor=work)], evaluator=True, name="ok"),
            Router(
                [Step(name="mail", executor=work), Step(name="call", executor=work)],
                lambda step_input: "mail",
                name="way",
            ),
            Map(Step(name="each", executor=work), over="input", name="many", max_concurrency=2),
            Steps(name="group", steps=[Step(name="inner", workflow=Workflow(name="In", steps=[work]))]),
        ],
    )


outlines = st.recursive(
    st.builds(
        Outline,
        path=st.uuids().map(str),
        name=st.text(max_size=30),
        facts=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    ),
    lambda inner: st.builds(
        Outline,
        path=st.uuids().map(str),
        name=st.text(max_size=20),
        kind=st.sampled_from(["Parallel", "Loop", "Condition", "Router", "Map", "Steps", "Workflow"]),
        branch=st.just(""),
        children=st.lists(inner, min_size=1, max_size=4).map(tuple),
    ),
    max_leaves=12,
)


def test_the_outline_names_every_step_with_its_kind_and_what_is_to_know_of_it() -> None:
    found = [(part.path, part.kind, part.facts) for top in workflow().outline() for part in top.walk()]
    assert found == [
        ("0.find", "Step", ("2 retries",)),
        ("1.both", "Parallel", ()),
        ("1.both/0.a", "Step", ()),
        ("1.both/1.b", "Step", ("asks to confirm",)),
        ("2.rounds", "Loop", ("at most 4 iterations",)),
        ("2.rounds/0.again", "Step", ()),
        ("3.ok", "Condition", ()),
        ("3.ok/if.0.yes", "Step", ()),
        ("4.way", "Router", ()),
        ("4.way/0.mail", "Step", ()),
        ("4.way/1.call", "Step", ()),
        ("5.many", "Map", ("over input", "2 at a time")),
        ("5.many/0.each", "Step", ()),
        ("6.group", "Steps", ()),
        ("6.group/0.inner", "Workflow", ()),
        ("6.group/0.inner/0.work", "Step", ()),
    ]


def test_a_callable_workflow_says_that_its_steps_are_known_only_as_it_runs() -> None:
    async def steps(execution_input: Any) -> None: ...

    found = Workflow(name="Free", steps=steps)
    assert found.outline() == ()
    assert "known only as it runs" in found.to_ascii()
    assert "known only as it runs" in found.to_svg()


def test_branches_stand_beside_each_other_between_a_fork_and_a_join() -> None:
    steps = [Parallel(Step(name="left", executor=work), Step(name="right", executor=work), name="both")]
    assert Workflow(name="P", steps=steps).to_ascii().splitlines() == [
        "╭─ Parallel both ───────╮",
        "│           │           │",
        "│     ╭─────┴─────╮     │",
        "│     ▼           ▼     │",
        "│ ╭───────╮   ╭───────╮ │",
        "│ │ left  │   │ right │ │",
        "│ ╰───────╯   ╰───────╯ │",
        "│     │           │     │",
        "│     ╰─────┬─────╯     │",
        "│           │           │",
        "╰───────────┴───────────╯",
    ]


def test_what_does_not_fit_the_terminal_is_a_list() -> None:
    lines = workflow().to_ascii(20, ascii_only=True).splitlines()
    assert lines[0] == "|- find, 2 retries"
    assert "|  `- b, asks to confirm" in lines


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_picture_is_never_wider_than_the_terminal(width: int) -> None:
    lines = workflow("a step with a rather long name " * 2).to_ascii(width).splitlines()
    assert all(cells(line) <= width for line in lines) or lines[0].startswith(("├", "└"))


@given(st.lists(outlines, min_size=1, max_size=4))
def test_every_tree_can_be_drawn_in_every_form(outline: list[Outline]) -> None:
    picture = draw("w", outline, 10_000, False)
    assert all(character == "\n" or unicodedata.category(character) not in ("Cc", "Cs") for character in picture)
    ElementTree.fromstring(svg("w", outline, {}))
    for text in (mermaid(outline, {}), dot("w", outline, {})):
        bare = text.replace("\\\\", "")  # an escaped backslash escapes no quote
        assert bare.count('"') % 2 == bare.count('\\"') % 2


def test_hostile_names_are_text_in_every_form() -> None:
    found = workflow(HOSTILE)
    element = ElementTree.fromstring(found.to_svg())
    assert not [child for child in element.iter() if child.tag.endswith("script")]
    assert "\x1b" not in found.to_ascii() + found.to_mermaid() + found.to_dot() + found.to_svg()
    line = next(line for line in found.to_mermaid().splitlines() if "script" in line).replace("<br/>", " ")
    assert re.fullmatch(r'  n1\["[^"<>`]*"\]', line)
    assert 'label="x\\"];' in found.to_dot()


def test_mermaid_takes_no_part_of_a_name_for_a_directive_or_a_formula() -> None:
    text = mermaid([Outline(path="0", name="%%{init: 1}%% $$x$$")], {})
    assert text == 'flowchart TD\n  n1["#37;#37;{init: 1}#37;#37; #36;#36;x#36;#36;"]\n'


def test_states_colour_what_has_run() -> None:
    found = workflow()
    assert "class n1 done" in found.to_mermaid({"0.find": "done"})
    assert "(failed)" in found.to_svg({"0.find": "failed"})
    assert "penwidth" in found.to_dot({"0.find": "done"})
    assert "penwidth" not in found.to_dot()


def test_a_notebook_shows_the_picture() -> None:
    bundle = workflow()._repr_mimebundle_()
    assert bundle["text/plain"].startswith("Workflow(")
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert "http" not in bundle["image/svg+xml"].replace("http://www.w3.org/2000/svg", "")


def test_a_notebook_shows_a_run_as_a_table_with_everything_escaped() -> None:
    hostile = Workflow(name="<b>W</b>", steps=[Step(name="<i>s</i>", executor=lambda step_input: "<script>1</script>")])
    html = hostile.run("hi")._repr_html_()
    assert html.startswith("<table>")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<i>" not in html


def test_a_paused_run_says_in_its_table_what_it_waits_for() -> None:
    review = HumanReview(requires_confirmation=True, confirmation_message="Sure?")
    html = Workflow(name="W", steps=[Step(name="s", executor=work, human_review=review)]).run("hi")._repr_html_()
    assert "PAUSED" in html
    assert "Sure?" in html
