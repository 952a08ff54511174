"""What people call a class."""

import re


def label(name: str) -> str:
    """Return a folder's name as people write it.

    >>> label("020.Belgian_malinois")
    'Belgian malinois'
    """
    return re.sub(r"^\d+\.(?=.)", "", name).replace("_", " ")
