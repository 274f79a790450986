"""The one exception that stands for a user's mistake or a broken environment, not for a bug."""


class GanError(Exception):
    """Carries one line: what is wrong, where, and what to do; shown without a traceback."""
