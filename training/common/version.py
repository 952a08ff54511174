"""Which Kennel this is: the file lies beside ``training``, also in the archive that a job runs."""

from pathlib import Path

VERSION = (Path(__file__).parents[2] / "VERSION").read_text(encoding="utf-8").strip()
