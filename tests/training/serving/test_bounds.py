"""The memory and the time that the worst photos take, measured in processes of their own."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.artifact.layout import SERVING
from training.serving.photo_file import MAX_BODY_BYTES, MAX_SCANS

BOMB = Path(__file__).parents[2] / "inputs/webp-86-bytes-50MP.webp"
MEBIBYTE = 1024 * 1024
PROGRAM = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from serving import inference

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

model = inference.model_fn(sys.argv[1])
idle = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again: proc_pid_clear_refs(5)
started = time.process_time()
with ThreadPoolExecutor(len(sys.argv) - 2) as pool:
    replies = list(pool.map(lambda path: inference.respond(model, Path(path).read_bytes(), {}), sys.argv[2:]))
seconds = time.process_time() - started
print(json.dumps([[reply.status for reply in replies], idle, memory("VmHWM"), seconds]))
"""


def measure(artifact: Path, *photos: Path) -> tuple[list[int], int, int, float]:
    """Return statuses, bytes of an idle server, bytes at the peak, and seconds of CPU, with all photos at once."""
    command = [sys.executable, "-c", PROGRAM, str(artifact), *map(str, photos)]
    environment = {"PYTHONPATH": str(SERVING.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    statuses, idle, peak, seconds = json.loads(done.stdout)
    return statuses, idle, peak, seconds


def jpeg(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    row = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, width // 16, 3), dtype=np.uint8))
    row.resize((width, height)).convert(mode).save(file, "JPEG", quality=80, exif=exif, **options)
    return file.getvalue()


def with_costly_scans(body: bytes, width: int, height: int, scans: int = MAX_SCANS) -> bytes:
    """Add scans to a progressive JPEG that look at every coefficient and change none, in some 75 bytes each."""
    blocks = -(-width // 8) * -(-height // 8)
    table = b"\x10" + bytes([1, *[0] * 15]) + b"\xe0"  # one code, of one bit: 2^14 blocks, and 14 bits of more
    bits = ("0" + "1" * 14) * (blocks // 32767 + 1)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = b"\xff\xc4" + struct.pack(">H", len(table) + 2) + table + b"\xff\xda\0\x08\x01\x01\0\x01\x3f\x10" + data
    return body[:-2] + scan * (scans - body.count(b"\xff\xda")) + body[-2:]


def png(width: int, height: int, depth: int, colour: int, *chunks: tuple[bytes, bytes], step: int = 1) -> bytes:
    """Return a PNG of noise whose rows take longest: Paeth's filter; ``step`` 2 is interlaced in Adam7's way."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    noise = np.random.default_rng(1).bytes(8 * width)
    pixel = {0: 1, 2: 3, 4: 2, 6: 4}[colour] * depth // 8
    passes = [(width, height)]
    if step == 2:
        origins = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        passes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in origins]
    packer = zlib.compressobj(1)
    rows = [packer.compress(b"\x04" + noise[: w * pixel]) for w, h in passes for _ in range(h)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, step - 1)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", b"".join(rows) + packer.flush()), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def webp(width: int, height: int, mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    row = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, width // 16, 4), dtype=np.uint8))
    row.resize((width, height)).convert(mode).save(file, "WEBP", method=0, quality=20, **options)
    return file.getvalue()


WORST: dict[str, Callable[[], bytes]] = {
    "jpeg, turned": lambda: jpeg(8000, 6200),
    "jpeg, turned, with 17 MB behind it": lambda: jpeg(8000, 6200).ljust(MAX_BODY_BYTES, b"\0"),
    "jpeg of print": lambda: jpeg(8000, 6200, "CMYK"),
    "progressive jpeg": lambda: with_costly_scans(jpeg(5900, 3900, progressive=True, subsampling=0), 5900, 3900),
    "progressive grey jpeg": lambda: with_costly_scans(jpeg(8000, 6200, "L", progressive=True), 8000, 6200),
    "png": lambda: png(8000, 6200, 8, 2),
    "interlaced png": lambda: png(8000, 6200, 8, 2, step=2),
    "png with alpha": lambda: png(6000, 6200, 8, 6),
    "png of 16 bits with alpha": lambda: png(3000, 6200, 16, 6),
    "grey png of 16 bits, transparent": lambda: png(8000, 6200, 16, 0, (b"tRNS", b"\0\1")),
    "webp": lambda: webp(4000, 3700, "RGB"),
    "webp with alpha": lambda: webp(4000, 3300, "RGBA"),
    "lossless webp with alpha": lambda: webp(4000, 2900, "RGBA", lossless=True),
}
"""At the limits of each format."""


LIMIT_SECONDS = 2
"""CPU that a photo may take; the slowest took 1.3 s on one core of an AMD EPYC. A busy machine counts more, so the test
allows three times as much: without the limits, photos took 3 to 200 s."""


@pytest.mark.usefixtures("trains")  # it makes and decodes the largest photos
@pytest.mark.parametrize("name", WORST)
def test_a_photo_at_the_limits_takes_at_most_250_mib_and_little_time(name: str, artifact: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(WORST[name]())
    statuses, idle, peak, seconds = measure(artifact, photo)
    assert statuses == [200]
    assert peak - idle < 250 * MEBIBYTE
    assert seconds < 3 * LIMIT_SECONDS


def test_a_bomb_takes_nothing(artifact: Path) -> None:
    statuses, idle, peak, seconds = measure(artifact, BOMB)
    assert statuses == [413]
    assert peak - idle < 5 * MEBIBYTE
    assert seconds < LIMIT_SECONDS
