"""Data that an earlier version wrote, opened by this one."""
