"""The two ends of a question to the API server that are no answer.

Why it exists: whoever asks decides between trying again and telling a person, whatever way was asked.
What it refuses to do: carry the body of an answer, which may be a Secret.
"""

from __future__ import annotations


class AwayError(Exception):
    """The API server cannot be reached, or asks to come back later. Trying again may help."""


class ForbiddenError(Exception):
    """The API server answered and refused: repeating it changes nothing until somebody changes a right or an object."""
