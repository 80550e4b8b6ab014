"""Papers that people in Vietnam have, written by code: invented people, marked as samples, worth nothing.

Run `python -m examples.vietnamese_forms FOLDER` from the root of a checkout.
"""

from .build import KINDS, FormKind, Forms, build
from .people import Person, people

__all__ = ["KINDS", "FormKind", "Forms", "Person", "build", "people"]
