"""The public verbs of a Workflow that read and administer, by subject; ``workflow.py`` holds those that run it."""
