"""The error that a user sees as one sentence."""


class MienError(Exception):
    """Something the user can mend: one sentence that names the key or file and says what to do."""
