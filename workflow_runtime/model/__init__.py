"""The nouns: events, run output and status, step input and output, media, sessions, errors.

Everything here is data without behaviour of its own: no I/O, no clock, no task. Any room may import it;
it imports nothing of the package but itself.
"""
