"""Photos to prove a model with where there are none: every value of a pixel, smooth and rough, upright and not."""

from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 8


def write_stand_ins(folder: Path, side: int) -> list[Path]:
    """Write ``COUNT`` PNG files, the same ones each time, whose shorter side has ``side`` pixels or twice as many."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        short = side * (1 + number % 2)
        height, width = (short, short + side // 4) if number < COUNT // 2 else (short + side // 4, short)
        rows, columns = np.mgrid[0 : 1 : complex(0, height), 0 : 1 : complex(0, width)]
        slopes = chance.uniform(-1, 1, (2, 3))
        smooth = 0.5 + 0.5 * (rows[..., None] * slopes[0] + columns[..., None] * slopes[1])
        pixels = 255 * smooth + chance.normal(0, 8 * number, (height, width, 3))
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths
