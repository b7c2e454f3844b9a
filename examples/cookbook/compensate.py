"""Undo what was booked when a later step fails.

``compensate`` is called with the output of its step, the last completed step first; the run then fails as it would have.
"""

from workflow_runtime import Compensation, Retry, Step, StepOutput, Workflow, WorkflowCompensatingEvent


def book_hotel() -> str:
    return "hotel-17"


def book_flight() -> str:
    return "flight-4"


def pay() -> str:
    raise PermissionError("the card was declined")


cancelled: list[str] = []


def cancel_booking(step_output: StepOutput) -> None:
    cancelled.append(step_output.content)


trip = Workflow(
    name="Trip",
    steps=[
        Step(executor=book_hotel, compensate=cancel_booking),
        Step(executor=book_flight, compensate=Compensation(cancel_booking, retry=Retry(attempts=5))),
        pay,
    ],
)
try:
    for event in trip.run("Lisbon", stream=True):
        if isinstance(event, WorkflowCompensatingEvent):
            print(event.error, "| to undo:", event.steps)
except PermissionError as error:
    print("failed:", error)
print("cancelled:", cancelled)

# prints:
# the card was declined | to undo: ['1.book_flight', '0.book_hotel']
# failed: the card was declined
# cancelled: ['flight-4', 'hotel-17']
