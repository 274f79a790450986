"""The exception for a user's mistake or a broken environment, as opposed to a bug."""


class GanError(Exception):
    """One line without a traceback: where and what is wrong, and the fix."""
