"""agno's ``models``: the message only."""
