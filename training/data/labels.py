"""What people call a class, and when two names are the same."""

import re
import unicodedata


def label(name: str) -> str:
    """Return a folder's name as people write it.

    A number before it is an index, unless more digits follow its point.

    >>> label("020.Belgian_malinois")
    'Belgian malinois'
    >>> label("0.50_euro")
    '0.50 euro'
    """
    return re.sub(r"^\d+\.(?=\D)", "", name).replace("_", " ")


def canonical(name: str) -> str:
    """Return a name in the form in which names are compared: Unicode's NFC.

    macOS and its archives write letters with accents as two characters (NFD), other systems as one, and both look the
    same (https://unicode.org/reports/tr15/).
    """
    return unicodedata.normalize("NFC", name)


def appearance(name: str) -> str:
    """Return the same key for names that look alike: spaces and invisible characters do not count."""
    seen = "".join(letter for letter in canonical(label(name)) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.split())


def visible(name: str) -> str:
    r"""Return a name, in quotes and with escapes if something about it cannot be seen otherwise.

    >>> visible("cat"), visible("cat "), visible("cafe\u0301")
    ('cat', "'cat '", "'cafe\\u0301'")
    """
    decomposed = canonical(name) != name

    def shows(letter: str) -> bool:
        return letter == " " or (letter.isprintable() and not (decomposed and unicodedata.combining(letter)))

    shown = "".join(letter if shows(letter) else letter.encode("unicode_escape").decode() for letter in name)
    return f"'{shown}'" if shown != name or " ".join(name.split()) != name else name
