"""What is wrong with the data, said to a person."""

from __future__ import annotations


class DataError(ValueError):
    """One sentence that names the source and what to do about it.

    Examples: a glob that matches nothing, a JSON line without the field, a corpus shorter than one window.
    """
