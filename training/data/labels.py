"""What people call a class."""

import re


def label(name: str) -> str:
    """Return a folder's name as people write it.

    A number before it is an index, unless more digits follow its point.

    >>> label("020.Belgian_malinois")
    'Belgian malinois'
    >>> label("0.50_euro")
    '0.50 euro'
    """
    return re.sub(r"^\d+\.(?=\D)", "", name).replace("_", " ")
