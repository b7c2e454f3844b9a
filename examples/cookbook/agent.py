"""Any object with arun() or run() is an agent; its tokens are events, and its result is the step's output."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from workflow_runtime import Step, Workflow


class Parrot:
    name = "parrot"

    async def arun(self, input: Any) -> AsyncIterator[str]:
        for word in str(input).split():
            yield f"{word} {word} "


print(Workflow(steps=[Step("speak", agent=Parrot())]).run("hello there").content)

# prints:
# hello hello there there
