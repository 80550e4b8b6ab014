"""Errors of the trainer that users see."""

from embedder.errors import InputError, ViPyloError


class TrainerError(ViPyloError):
    """A training run cannot start or go on; the text says why and what to change."""


class ConfigError(TrainerError, InputError):
    """A training configuration is not usable; the text names the file and the field."""


class DataError(InputError):
    """A line of a training file is not a sample; the text names file, line and field."""
