"""The one error that the command line turns into a sentence instead of a traceback."""


class UserError(ValueError):
    """A mistake that the reader can correct; its text is a sentence that says how.

    Raise it for a wrong name, size, file or value that came from outside. The `dreamgym` command
    prints the sentence and exits with 2; in a notebook it is an ordinary `ValueError`.
    """
