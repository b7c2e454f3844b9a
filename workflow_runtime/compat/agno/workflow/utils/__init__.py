"""agno's ``workflow.utils``: the one function that its users call."""
