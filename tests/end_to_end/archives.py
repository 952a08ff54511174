"""Artifacts with something changed inside."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.project import Model


def repacked(model: Model, folder: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Change the members of an archive by their names, and write the manifest that belongs to the changed archive."""
    archive = folder / "model.tar.gz"
    with tarfile.open(model.folder / "model.tar.gz") as old, tarfile.open(archive, "w:gz", compresslevel=1) as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = change(member.name, content.read())
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    manifest = model.manifest
    manifest["artifact"] |= {
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "size": archive.stat().st_size,
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder
