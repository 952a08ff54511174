"""Which Kennel this is."""

from pathlib import Path

VERSION = (Path(__file__).parents[1] / "VERSION").read_text(encoding="utf-8").strip()
