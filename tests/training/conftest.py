"""Few, small photos whose classes differ by colour, and stand-ins for the wheels that pip would fetch."""

import os
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.__main__ import main
from training.artifact import layout
from training.artifact.layout import pinned_requirements
from training.artifact.wheels import Platform
from training.common.files import sha256

COLOURS = {"001.Red_setter": (200, 40, 40), "002.Green_dog": (40, 200, 40), "003.Blue_heeler": (40, 40, 200)}


def write_photos(folder: Path, train: int = 8, valid: int = 4, test: int = 4, side: int = 32) -> Path:
    chance = np.random.default_rng(0)
    for split, count in {"train": train, "valid": valid, "test": test}.items():
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                noise = chance.integers(-40, 40, (side, side + 8, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "data")


@pytest.fixture(scope="session", autouse=True)
def wheel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fill a cache with stand-ins for the wheels, so that nothing is downloaded, and have them known for the right."""
    cache = tmp_path_factory.mktemp("wheels")
    platform = Platform()
    folder = cache / f"python{platform.python}-{platform.tag}"
    folder.mkdir()
    for pin in pinned_requirements():
        name, _, version = pin.partition("==")
        with zipfile.ZipFile(folder / f"{name}-{version}-cp313-cp313-{platform.tag}.whl", "w") as wheel:
            about = zipfile.ZipInfo(f"{name}-{version}.dist-info/METADATA")
            wheel.writestr(about, f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    published = cache / "wheels.sha256"
    published.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in folder.iterdir()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KENNEL_CACHE", str(cache))
        patch.setattr(layout, "PUBLISHED", published)
        yield cache


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, wheel_cache: Path) -> Path:
    """Return what one fit of a small network wrote; do not change it."""
    folder = tmp_path_factory.mktemp("fitted")
    write_photos(folder / "data")
    arguments = ["fit", "--data", str(folder / "data"), "--out", str(folder / "build"), "--epochs", "2"]
    assert main([*arguments, "--batch-size", "8"], {}) == 0
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line and returns its status, output and error output."""

    def run(*arguments: str | Path, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main([str(each) for each in arguments], environment or {})
        output, errors = capfd.readouterr()
        return status, output, errors

    return run


@pytest.fixture
def terminal() -> Iterator[None]:
    """Have Ctrl-C interrupt, as in a terminal: what a shell starts in the background, tests too, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def background() -> Iterator[None]:
    """Ignore Ctrl-C, as what a shell starts in the background does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send whoever wants the network to a port where nobody answers."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
