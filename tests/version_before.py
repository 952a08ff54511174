"""Artifacts of version 0.1.0, which carry that version's serving code: flat modules in ``code/``."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

SERVING = Path(__file__).parent / "inputs" / "serving-0.1.0.tar.gz"

CARD_FIELDS = {"schema", "input", "classes", "files"}
MANIFEST_FIELDS = {"schema", "artifact", "model", "input", "classes", "metrics", "history", "training", "speed"} | {
    *("data", "weights", "export", "versions")
}


def members(archive: Path) -> dict[str, bytes]:
    """Return an archive's files by name."""
    with tarfile.open(archive) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def write_archive(path: Path, graph: bytes, card: bytes, rest: dict[str, bytes]) -> None:
    """Write an artifact as version 0.1.0 does; ``rest`` is the wheels and the list of them."""
    known = json.loads(card)
    old = json.dumps({name: known[name] for name in known if name in CARD_FIELDS}, indent=1, ensure_ascii=False)
    files = {**members(SERVING), **rest, "model.onnx": graph, "model.json": old.encode() + b"\n"}
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 0, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o644
            tar.addfile(about, io.BytesIO(content))


def write_build(build: Path, folder: Path) -> Path:
    """Write archive, manifest and weights as version 0.1.0 does, with the model that this version packed."""
    folder.mkdir()
    now = members(build / "model.tar.gz")
    rest = {name: now[name] for name in now if name == "code/requirements.txt" or name.endswith(".whl")}
    archive = folder / "model.tar.gz"
    write_archive(archive, now["model.onnx"], now["model.json"], rest)
    known = json.loads((build / "model.json").read_bytes())
    manifest = {name: known[name] for name in known if name in MANIFEST_FIELDS}
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest["artifact"] = {"location": archive.name, "sha256": digest, "size": archive.stat().st_size}
    (folder / "model.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "model.safetensors").write_bytes((build / "model.safetensors").read_bytes())
    return folder
