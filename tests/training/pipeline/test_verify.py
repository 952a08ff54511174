"""What ``verify`` accepts, and one altered artifact for everything that it looks for."""

import errno
import gzip
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stacks.endpoint.artifact import load_artifact
from training.artifact.archive import member, write_archive
from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.version import VERSION

Run = Callable[..., tuple[int, str, str]]
Members = dict[str, bytes]


@pytest.fixture
def build(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted / "build", tmp_path / "build"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return an archive that has all but a graph that serves, for what is refused before that is asked."""
    classes = [{"name": name, "label": name} for name in ("cat", "dog")]
    rule = {"resize": 32, "crop": [32, 32], "interpolation": "bilinear"}
    archive = tmp_path / "model.tar.gz"
    wheels = fetch_wheels(pinned_requirements(), wheel_cache())
    write_archive(archive, b"graph", {"schema": 1, "input": rule, "classes": classes}, wheels)
    return archive


def members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def pack(path: Path, content: Members, order: Callable[[Any], Any] = sorted) -> None:
    with path.open("wb") as file, gzip.GzipFile("", "wb", 0, file, mtime=0) as packed:
        for name in order(content):
            packed.write(member(name, len(content[name])).tobuf(tarfile.USTAR_FORMAT))
            packed.write(content[name] + bytes(-len(content[name]) % 512))
        packed.write(bytes(1024))


def vouch(build: Path, **change: Any) -> None:
    """Make the manifest one about the archive that lies beside it."""
    content = json.loads((build / "model.json").read_text())
    archive = (build / "model.tar.gz").read_bytes()
    content["artifact"] |= {"sha256": hashlib.sha256(archive).hexdigest(), "size": len(archive)}
    (build / "model.json").write_text(json.dumps(content | change))


def altered_card(content: Members, **change: Any) -> Members:
    return content | {"model.json": json.dumps(json.loads(content["model.json"]) | change).encode()}


def test_it_needs_no_pytorch() -> None:
    program = "import sys, training.pipeline.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ["model.tar.gz", "model.json"])
def test_what_a_fit_packed_passes_every_check(build: Path, run: Run, name: str) -> None:
    status, output, errors = run("verify", build / name)
    assert (status, errors) == (0, "")
    titles = ["Archive", "Files", "Card", "Graph", "Code", "Serves", "Manifest"]
    assert [line.split()[0] for line in output.splitlines()] == titles
    assert "test accuracy" in output.splitlines()[-1]


def test_an_archive_alone_is_checked_without_a_manifest(build: Path, run: Run) -> None:
    (build / "model.json").unlink()
    status, output, _ = run("verify", build / "model.tar.gz")
    assert status == 0
    assert "there is none for this archive" in output.splitlines()[-1]


def test_code_that_is_not_kennels_is_neither_run_nor_accepted_whoever_vouches_for_it(
    build: Path, run: Run, tmp_path: Path
) -> None:
    archive = build / "model.tar.gz"
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\n".encode()
    pack(archive, {n: trap + c if n.endswith(".py") else c for n, c in members(archive).items()})
    vouch(build)
    refused(run("verify", archive), "code/inference.py differs from that of Kennel")
    assert not (tmp_path / "sprung").exists()


def without(content: Members, part: str) -> Members:
    return {name: each for name, each in content.items() if part not in name}


def renamed(content: Members, old: str, new: str) -> Members:
    return {name.replace(old, new): each for name, each in content.items()}


ALTERED: dict[str, tuple[Callable[[Members], Members], str]] = {
    "no graph": (lambda c: without(c, "model.onnx"), "lacks model.onnx"),
    "no card": (lambda c: without(c, "model.json"), "lacks model.json"),
    "no code": (lambda c: without(c, "code/inference.py"), "lacks code/inference.py"),
    "no deployment": (lambda c: without(c, "deployment.py"), "lacks code/serving/deployment.py"),
    "altered code": (
        lambda c: c | {"code/inference.py": b"import os"},
        "code/inference.py differs from that of Kennel",
    ),
    "altered requirements": (
        lambda c: c | {"code/requirements.txt": b"evil"},
        "code/requirements.txt differs from that of",
    ),
    "more code": (lambda c: c | {"code/numpy.py": b""}, "code/numpy.py differs from that of Kennel"),
    "another graph": (lambda c: c | {"model.onnx": b"other"}, "model.onnx differs in size or sha256 from model.json"),
    "card of no JSON": (lambda c: c | {"model.json": b"{"}, "is not a model card"),
    "card of another schema": (lambda c: altered_card(c, schema=2), "has schema 2"),
    "card without classes": (lambda c: altered_card(c, classes=[]), "names fewer than two different classes"),
    "a pickle": (lambda c: c | {"code/model.pth": b"x"}, "code/model.pth may be a pickle"),
    "a stranger": (lambda c: c | {"code/run.sh": b"x"}, "code/run.sh does not belong"),
    "a name that steers a terminal": (lambda c: c | {"code/\x1b[31m\n.py": b"x"}, "does not belong"),
    "a file above": (lambda c: c | {"../evil.py": b"x"}, "../evil.py would be written outside"),
    "a file at the root": (lambda c: c | {"/evil.py": b"x"}, "/evil.py would be written outside"),
    "a class without a name": (lambda c: altered_card(c, classes=[{"label": n} for n in "ab"]), "is not a model card"),
    "a class that is no text": (
        lambda c: altered_card(c, classes=[{"name": "a", "label": ["a"]}] * 2),
        "without a name",
    ),
    "no wheel": (lambda c: without(c, "onnxruntime"), "lacks code/wheels/onnxruntime"),
    "a wheel more": (
        lambda c: c | {"code/wheels/evil-1.0-py3-none-any.whl": b""},
        "evil-1.0-py3-none-any.whl differs from that of",
    ),
    "a wheel of another version": (lambda c: renamed(c, "runtime-1.", "runtime-0."), "another version of Kennel wrote"),
    "another wheel under the name of one": (
        lambda c: {n: each + b"evil" if "flatbuffers" in n else each for n, each in c.items()},
        "differs from that of Kennel",
    ),
}


@pytest.mark.parametrize("kind", ALTERED)
def test_an_altered_archive_is_refused(small: Path, run: Run, kind: str) -> None:
    alter, reason = ALTERED[kind]
    pack(small, alter(members(small)))
    refused(run("verify", small), reason)


def of_another_version(build: Path, kennel: str | None) -> Path:
    """Turn an artifact into one whose code has other bytes, with a manifest that says who wrote it."""
    archive = build / "model.tar.gz"
    pack(archive, {n: b"# older\n" + c if n.endswith(".py") else c for n, c in members(archive).items()})
    versions = json.loads((build / "model.json").read_text())["versions"]
    del versions["kennel"]
    vouch(build, versions=versions | ({"kennel": kennel} if kennel else {}))
    return archive


@pytest.mark.parametrize(
    ("kennel", "writer"),
    [(None, "another version of Kennel"), ("0.1.7", "Kennel 0.1.7"), (VERSION, "another version of Kennel")],
)
def test_code_of_another_version_is_refused_with_the_command_that_packs_it_anew(
    build: Path, fitted: Path, run: Run, kennel: str | None, writer: str
) -> None:
    archive = of_another_version(build, kennel)
    _, _, errors = run("verify", archive)
    weights = build / "model.safetensors"
    command = f"./kennel package --from {weights} --data DIR --out {build}"
    assert errors == (
        f"kennel: code/inference.py differs from that of Kennel {VERSION}: {writer} wrote the archive, or someone "
        "altered it. If you trust its source, you can deploy it as it is and measure it with `./kennel evaluate`; to "
        f"verify it, first pack its weights again: `{command}`\n"
    )
    _, *printed = shlex.split(command.replace("DIR", str(fitted / "data")))
    assert run("evaluate", "--artifact", archive, "--data", fitted / "data", "--out", build / "measured")[0] == 0
    assert run(*printed)[0] == 0
    assert run("verify", build / "model.json")[0] == 0
    assert load_artifact(build / "model.json", minimum_accuracy=0).path == archive


def test_an_archive_without_its_weights_beside_it_is_packed_anew_from_a_file_to_be_named(
    build: Path, run: Run, tmp_path: Path
) -> None:
    archive = of_another_version(build, None).rename(tmp_path / "alone.tar.gz")
    assert "`./kennel package --from model.safetensors --data DIR --out build`" in run("verify", archive)[2]


@pytest.mark.parametrize(("kennel", "writer"), [("9.0.0", "Kennel 9.0.0"), (None, "an unknown version of Kennel")])
@pytest.mark.parametrize("command", ["verify", "evaluate"])
def test_a_card_of_another_schema_is_refused_with_both_versions(
    build: Path, fitted: Path, run: Run, command: str, kennel: str | None, writer: str
) -> None:
    archive = build / "model.tar.gz"
    pack(archive, altered_card(members(archive), schema=2))
    vouch(build, versions={"kennel": kennel} if kennel else {})
    options = [archive] if command == "verify" else ["--artifact", archive, "--data", fitted / "data", "--out", build]
    refused(
        run(command, *options),
        f"model.json in the archive has schema 2 of {writer}, and Kennel {VERSION} reads schema 1; use",
    )


@pytest.mark.parametrize("kennel", [None, "0.1.0", "99.0.0"])
def test_another_version_of_kennel_in_the_manifest_is_no_reason_to_refuse_an_artifact(
    build: Path, run: Run, kennel: str | None
) -> None:
    vouch(build, versions={"kennel": kennel} if kennel else {})
    assert run("verify", build / "model.json")[0] == 0


def graph(outputs: list[float]) -> bytes:
    """Return a graph that gives every photo the same numbers."""
    fixed = numpy_helper.from_array(np.array([outputs], np.float32), "fixed")
    axes = numpy_helper.from_array(np.array([1, 2, 3]), "axes")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=0),
        helper.make_node("Unsqueeze", ["sums", "one"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "fixed"], ["probabilities"]),
    ]
    numbers = [numpy_helper.from_array(np.array(0, np.float32), "zero"), numpy_helper.from_array(np.array([1]), "one")]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 32, 32, 3])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(outputs)])
    made = helper.make_graph(nodes, "fixed", [pixels], [answer], [fixed, axes, *numbers])
    opset = [helper.make_opsetid("", 18)]
    content: bytes = helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString()
    return content


@pytest.mark.parametrize(("outputs", "status"), [([0.25, 0.75], 0), ([1.5, -0.5], 2), ([0.5, 0.6], 2)])
def test_answers_are_probabilities(small: Path, run: Run, outputs: list[float], status: int) -> None:
    content = members(small) | {"model.onnx": graph(outputs)}
    about = {"sha256": hashlib.sha256(content["model.onnx"]).hexdigest(), "size": len(content["model.onnx"])}
    pack(small, altered_card(content, files={"model.onnx": about}))
    assert run("verify", small)[0] == status


def test_a_graph_that_cannot_be_loaded_is_refused(small: Path, run: Run) -> None:
    refused(run("verify", small), "cannot serve (model.onnx is refused by onnxruntime")


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [{"name": name, "label": name} for name in "ab"]},
        {"input": {"resize": 40, "crop": [40, 40], "interpolation": "bilinear"}},
    ],
    ids=["classes", "size"],
)
def test_a_card_that_does_not_fit_its_graph_is_refused(build: Path, run: Run, change: dict[str, Any]) -> None:
    archive = build / "model.tar.gz"
    (build / "model.json").unlink()
    pack(archive, altered_card(members(archive), **change))
    refused(run("verify", archive), "cannot serve (model.onnx has the interface")


def refused(result: tuple[int, str, str], reason: str) -> None:
    status, _, errors = result
    assert status == 2
    assert reason in errors
    assert errors.startswith("kennel: ")
    assert errors.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (slice(None, 500), "damaged or cut short"),
        (slice(None, -4), "damaged or cut short"),
        (slice(1, None), "is not a .tar.gz file"),
        (slice(0, 0), "is not a .tar.gz file"),
    ],
)
def test_a_damaged_archive_is_refused(small: Path, run: Run, part: slice, reason: str) -> None:
    small.write_bytes(small.read_bytes()[part])
    refused(run("verify", small), reason)


@pytest.mark.parametrize(
    "change",
    [
        {"mtime": 1},
        {"uid": 7},
        {"uname": "root"},
        {"mode": 0o755},
        {"type": tarfile.DIRTYPE},
        {"type": tarfile.CHRTYPE},
    ],
    ids=str,
)
def test_a_header_that_kennel_did_not_write_is_refused(tmp_path: Path, run: Run, change: dict[str, Any]) -> None:
    about = member("model.json", 0)
    for name, value in change.items():
        setattr(about, name, value)
    refused(run("verify", raw(tmp_path, about.tobuf(tarfile.USTAR_FORMAT))), "Kennel did not write the header of")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_is_refused(tmp_path: Path, run: Run, kind: bytes) -> None:
    about = member("model.json", 0)
    about.type, about.linkname = kind, "/etc/passwd"
    refused(run("verify", raw(tmp_path, about.tobuf(tarfile.USTAR_FORMAT))), "model.json is a link")


def test_a_file_that_comes_twice_is_refused(tmp_path: Path, run: Run) -> None:
    block = member("model.json", 0).tobuf(tarfile.USTAR_FORMAT)
    refused(run("verify", raw(tmp_path, 2 * block)), "model.tar.gz has model.json twice; use an unchanged archive")


def test_files_in_another_order_are_refused(tmp_path: Path, run: Run) -> None:
    blocks = [member(name, 0).tobuf(tarfile.USTAR_FORMAT) for name in ("model.json", "config.yaml")]
    refused(
        run("verify", raw(tmp_path, b"".join(blocks))), "has config.yaml after model.json, not in the order of names"
    )


def test_what_follows_the_end_is_refused(tmp_path: Path, run: Run) -> None:
    block = member("model.json", 0).tobuf(tarfile.USTAR_FORMAT)
    refused(run("verify", raw(tmp_path, block + bytes(512) + b"evil")), "has bytes after its end")


def raw(folder: Path, content: bytes) -> Path:
    archive = folder / "model.tar.gz"
    with archive.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)
    return archive


def test_a_bomb_is_not_unpacked(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.artifact.archive.MOST_BYTES", 1 << 30)
    header = member("model.onnx", (1 << 30) + 1).tobuf(tarfile.USTAR_FORMAT)
    refused(run("verify", raw(tmp_path, header + bytes(1 << 20))), "unpacks to more than 1 GiB")


def test_a_full_disk_says_where(small: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.artifact.archive._copy", full)
    refused(run("verify", small), "No space left on device; free disk space there, or set TMPDIR to another folder")


def test_a_text_of_gigabytes_is_not_unpacked(tmp_path: Path, run: Run) -> None:
    header = member("model.json", 1 << 30).tobuf(tarfile.USTAR_FORMAT)
    refused(
        run("verify", raw(tmp_path, header + bytes(1 << 20))),
        "model.json has 1024 MiB, and the limit of a text file is 16 MiB",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"classes": [{"name": "a", "label": "a"}, {"name": "b", "label": "b"}]}, "have different classes"),
        ({"input": {"resize": 7, "crop": [7, 7], "interpolation": "bilinear"}}, "have different input"),
        ({"schema": 9}, "has schema 9"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    build: Path, run: Run, change: dict[str, Any], reason: str
) -> None:
    vouch(build, **change)
    refused(run("verify", build / "model.tar.gz"), reason)


def test_a_manifest_about_another_archive_is_refused(build: Path, run: Run) -> None:
    archive = build / "model.tar.gz"
    pack(archive, members(archive) | {"config.yaml": b"{}"})
    refused(run("verify", build / "model.json"), "describes another archive")


@pytest.mark.parametrize("location", ["nothing.tar.gz", "nothing.json", "s3://bucket/model.zip", "s3://"])
def test_where_there_is_no_artifact_the_message_says_so(run: Run, location: str) -> None:
    status, _, errors = run("verify", location)
    assert status == 2
    assert location in errors
    assert len(errors.splitlines()) == 1
