"""``check``: what would falsify a result, before hours go into it."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from training.common.console import console, say
from training.common.files import publish, workspace
from training.data.findings import ERROR, NOTE, SHOWN, WARNING, Finding
from training.data.layout import Photos, explore
from training.data.survey import PhotoRecord, examine, fingerprint, scan, usual_side

COLOURS = {ERROR: "red", WARNING: "yellow", NOTE: "default"}


@dataclass(frozen=True)
class Report:
    """All that there is to say of a data set."""

    photos: Photos
    records: list[PhotoRecord]
    findings: list[Finding]

    @property
    def errors(self) -> int:
        """Return how many findings would falsify a result."""
        return sum(finding.severity == ERROR for finding in self.findings)


def check(folders: dict[str, Path], size: int | None) -> Report:
    """Read every photo of the splits once.

    Parameters
    ----------
    size
        Pixels of each side of the model's input; None if it is to follow the photos, as without weights.
    """
    photos, faults = explore(folders)
    records = scan(photos)
    return Report(photos, records, faults + examine(photos, records, size or min(224, usual_side(records))))


def show(report: Report) -> None:
    """Print the splits as a table, then the findings, each with a few examples."""
    table = Table("Split", box=None, pad_edge=False)
    for title in ("Photos", "Classes", "Fewest", "Most", "Shorter side"):
        table.add_column(title, justify="right")
    for split, photos in report.photos.splits.items():
        counts = Counter(photo.target for photo in photos).values()
        sides = sorted(min(record.size) for record in report.records if record.split == split and not record.problem)
        table.add_row(
            split,
            str(len(photos)),
            str(len(counts)),
            str(min(counts, default=0)),
            str(max(counts, default=0)),
            f"{sides[0]} to {sides[-1]}, median {sides[(len(sides) - 1) // 2]}" if sides else "",
        )
    console.print(table)
    for finding in report.findings:
        text = finding.text.removeprefix(finding.kind)  # of which some begin with it
        console.print()
        console.print(
            Text(f"{finding.severity:<8}", COLOURS[finding.severity]),
            Text(f"{finding.headline}{': ' if text == finding.text else ''}{text}"),
        )
        for example in finding.examples():
            console.print(Text(f"         {example}"))
        if finding.count > SHOWN:
            console.print(Text(f"         and {finding.count - SHOWN} more"))
    console.print()
    say("Photos", f"fingerprint {fingerprint(report.records)[:16]}; {_verdict(report)}")


def write(report: Report, file: Path) -> None:
    """Write everything, every photo's name included, as JSON."""
    photos = report.photos
    content = {
        "schema": 1,
        "fingerprint": fingerprint(report.records),
        "images": {
            split: {name: sum(photo.target == i for photo in members) for i, name in enumerate(photos.classes)}
            for split, members in photos.splits.items()
        },
        "findings": [asdict(finding) for finding in report.findings],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with workspace(file.absolute()) as made:
        (made / file.name).write_text(text, encoding="utf-8", errors="backslashreplace")  # names that are no UTF-8
        publish(made, file.absolute().parent, [file.name])


def _verdict(report: Report) -> str:
    counts = Counter(finding.severity for finding in report.findings)
    words = [f"{counts[s]} {s}{'s' if counts[s] > 1 else ''}" for s in (ERROR, WARNING, NOTE) if counts[s]]
    return ", ".join(words) or "nothing to object to"
