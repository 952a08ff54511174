"""What the names of files and folders say, on disk as in S3."""

from pathlib import PurePath

SPLITS = ("train", "valid", "test")
EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".webp"}
"""Endings of photos, in lower case. A file with another ending or none is a photo if its first bytes say so."""

LITTER = {".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini"}
"""Files that file managers leave behind; those that begin with ``._`` are macOS's too (AppleDouble)."""

LITTER_FOLDERS = {"__MACOSX", "@eaDir", "__pycache__"}
"""Folders of macOS's zip files, of Synology's thumbnails and of Python."""


def hidden(name: str) -> bool:
    """Return whether a file or folder is none of the user's photos or classes by its name."""
    return name.startswith(".") or name in LITTER_FOLDERS


def litter(name: str) -> bool:
    """Return whether a file was created by the operating system or an editor, not by the user."""
    return name in LITTER or name.startswith("._")


def named_as_photo(name: str) -> bool:
    """Return whether a name has the ending of a photo."""
    return PurePath(name).suffix.lower() in EXTENSIONS
