"""Answering a paused run where it is shown."""
