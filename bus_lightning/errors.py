"""The one kind of error that is shown to the user as a single line."""


class UserError(Exception):
    """A mistake in the input that the user can mend.

    The message is one line that names the file or option and the cure; the command line prints it without a traceback.
    """


class OccupiedError(UserError):
    """A run folder belongs to another experiment or another process, and is left as it is."""


class WeightsMissingError(UserError):
    """Weights that a model asks for cannot be had here; the grid's table says so."""
