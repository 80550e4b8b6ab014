"""Errors that users see. Every error of ours is a `ViPyloError`: its text names the file or row, and the way out."""


class ViPyloError(Exception):
    """Base of all errors raised on purpose. The command line prints its text and exits with code 2."""


class InputError(ViPyloError, ValueError):
    """A caller's sample, argument or option is not usable; the text names it (a row, a field, a path)."""


class CheckpointError(ViPyloError):
    """A checkpoint directory is missing, incomplete, or does not fit the model it should fill."""


class PluginError(ViPyloError):
    """A part asked for by name is not registered, or its package cannot be imported."""
