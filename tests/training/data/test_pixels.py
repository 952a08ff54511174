import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.common.torchvision_compat import functional
from training.data.photos import Photo, PixelDataset
from training.data.pixels import InputRule, augment, fit, read_photo, to_tensor
from training.serving import photo_pixels


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(100, 67), (67, 101), (33, 33), (224, 224), (20, 300)])
@pytest.mark.parametrize(
    "rule", [InputRule(40, 32, "bilinear"), InputRule(33, 33, "bicubic"), InputRule(45, 32, "bicubic")]
)
def test_pixels_are_those_of_torchvisions_resize_and_centre_crop(size: tuple[int, int], rule: InputRule) -> None:
    photo = picture(*size)
    mode = functional.InterpolationMode(rule.interpolation)
    expected = functional.center_crop(functional.resize(photo, [rule.resize], mode), [rule.crop])
    assert np.array_equal(np.asarray(fit(photo, rule)), np.asarray(expected))


def test_training_sees_a_photo_as_the_endpoint_does(tmp_path: Path) -> None:
    sideways = picture(60, 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    sideways.save(tmp_path / "photo.jpg", exif=exif)
    assert read_photo(tmp_path / "photo.jpg").size == (40, 60)
    pixels, target = PixelDataset([Photo(tmp_path / "photo.jpg", 2)], InputRule(36, 32, "bilinear"))[0]
    served = photo_pixels.fit(
        photo_pixels.decode((tmp_path / "photo.jpg").read_bytes()),
        photo_pixels.ResizeAndCrop(36, (32, 32), Image.Resampling.BILINEAR),
    )
    assert (pixels.shape, pixels.dtype, target) == ((32, 32, 3), torch.uint8, 2)
    assert np.array_equal(pixels.numpy(), np.asarray(served))


@pytest.mark.parametrize("policy", ["light", "photo"])
def test_augmentation_varies_with_the_seed_and_the_epoch_alone(policy: str, tmp_path: Path) -> None:
    picture(50, 40).save(tmp_path / "photo.png")
    photos = [Photo(tmp_path / "photo.png", 0)] * 3

    def pixels(item: int, seed: int) -> bytes:
        return PixelDataset(photos, InputRule(32, 32, "bilinear"), policy, seed)[item][0].numpy().tobytes()

    assert pixels(4, 0) == pixels(4, 0)
    assert len({pixels(1, 0), pixels(4, 0), pixels(4, 1), pixels(5, 0)}) == 4


@pytest.mark.parametrize("policy", ["none", "light", "photo"])
@pytest.mark.parametrize("size", [(32, 32), (33, 90), (200, 21)])
def test_every_policy_gives_the_models_input_size(policy: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        pixels = to_tensor(augment(picture(*size), InputRule(32, 28, "bilinear"), policy, random.Random(seed)))
        assert pixels.shape == (28, 28, 3)


def test_light_augmentation_never_mirrors_and_photo_mirrors_half() -> None:
    half = np.zeros((32, 32, 3), dtype=np.uint8)
    half[:, 16:] = 255

    def mirrored(policy: str) -> int:
        count = 0
        for seed in range(60):
            varied = augment(Image.fromarray(half), InputRule(32, 32, "bilinear"), policy, random.Random(seed))
            columns = np.asarray(varied).mean(axis=(0, 2))
            count += bool(columns[4:12].mean() > columns[20:28].mean())
        return count

    assert mirrored("light") == 0
    assert 15 < mirrored("photo") < 45
