"""agno's ``utils``: printing a run and logging, as its examples do."""
