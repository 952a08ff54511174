"""The same photo more than once."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from training.data.findings import ERROR, WARNING, Finding

THUMBNAIL = 16
"""Pixels of each side of the grey thumbnails by which photos are compared."""

ALIKE = 2.0
"""Root mean square difference of two thumbnails, in grey levels of 255. A photograph saved anew as JPEG of quality 30,
or at half its size, or at 224 pixels, came to 0.4 to 1.2 here; the two most similar of 1797 scanned digits to 8, of
which no two are the same. Difference hashes (64 bits, at most two apart) took 6965 pairs of these for copies."""

MAX_PAIRS = 5_000_000_000
"""A minute of comparing on two cores."""


class Photo(Protocol):
    """What is to be known of a photo, see ``survey.PhotoRecord``."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> int: ...  # noqa: D102
    @property
    def pixels(self) -> str: ...  # noqa: D102
    @property
    def thumbnail(self) -> bytes: ...  # noqa: D102


def copies(photos: Sequence[Photo]) -> list[Finding]:
    """Find photos whose pixels are the same: in two splits, under two classes, or twice where they belong.

    Parameters
    ----------
    photos
        Readable ones: their ``pixels`` are compared.
    """
    by_pixels: dict[str, list[Photo]] = {}
    for photo in photos:
        by_pixels.setdefault(photo.pixels, []).append(photo)
    leaks, contradictions, repetitions = [], [], []
    for same in by_pixels.values():
        names = tuple(photo.name for photo in same)
        if len({photo.split for photo in same}) > 1:
            leaks.append(names)
        elif len({photo.target for photo in same}) > 1:
            contradictions.append(names)
        elif len(same) > 1:
            repetitions.append(names)
    kinds = (
        (ERROR, "leak", "the same photo in two splits, so what is measured is memory; keep one copy", leaks),
        (ERROR, "contradiction", "the same photo under two classes; keep the copy that is right", contradictions),
        (WARNING, "repetition", "the same photo twice in a split, where it counts double", repetitions),
    )
    return [Finding(severity, kind, text, tuple(groups)) for severity, kind, text, groups in kinds if groups]


def look_alikes(photos: Sequence[Photo]) -> list[Finding]:
    """Find photos that look the same as one of an earlier split although their pixels differ.

    Each is told once for each of those splits, with the photo that is nearest: blank ones would all be alike.

    Parameters
    ----------
    photos
        Readable ones of all splits, in the order of the splits: their ``thumbnail`` is compared.
    """
    splits: dict[str, list[Photo]] = {}
    for photo in photos:
        splits.setdefault(photo.split, []).append(photo)
    pairs = list(combinations(splits.values(), 2))
    if sum(len(one) * len(other) for one, other in pairs) > MAX_PAIRS:
        text = "too many photos to look for copies that were cut, scaled or compressed again"
        return [Finding(WARNING, "look-alikes not sought", text)]
    groups = tuple(
        (one[i].name, other[j].name)
        for one, other in pairs
        for j, i in _nearest(_thumbnails(other), _thumbnails(one))
        if one[i].pixels != other[j].pixels
    )
    text = "photos of two splits look the same: one may be the other, scaled or compressed again"
    return [Finding(WARNING, "look-alike", text, groups)] if groups else []


def alike_groups(photos: Sequence[Photo]) -> list[int]:
    """Return a number for each photo, the same for photos that look the same, also by way of others.

    Photos without a thumbnail look like no other. Beyond ``MAX_PAIRS`` only photos with the same pixels are found.
    """
    groups = list(range(len(photos)))

    def root(i: int) -> int:
        while groups[i] != i:
            groups[i] = groups[groups[i]]
            i = groups[i]
        return i

    first: dict[str, int] = {}
    for i, photo in enumerate(photos):
        if photo.pixels:
            groups[root(i)] = root(first.setdefault(photo.pixels, i))
    seen = [i for i, photo in enumerate(photos) if photo.thumbnail]
    if len(seen) ** 2 <= MAX_PAIRS:
        for one, other in _alike(_thumbnails([photos[i] for i in seen])):
            groups[root(seen[one])] = root(seen[other])
    return [root(i) for i in range(len(photos))]


def _alike(rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield each pair of rows that differ by at most ``ALIKE``; rows are uint8 of shape [photos, pixels]."""
    limit = ALIKE**2 * THUMBNAIL**2
    floats = rows.astype(np.float32)
    squares = (floats**2).sum(1)
    for start in range(0, len(rows), 256):
        left = floats[start : start + 256]
        # In float32 the difference of large sums is off by a few; what is near the limit is computed exactly.
        rough = squares[start : start + 256, None] + squares[None, start:] - 2 * left @ floats[start:].T
        for i, j in np.argwhere(rough <= limit + 64).tolist():
            one, other = start + i, start + j
            if one < other and ((rows[one].astype(int) - rows[other]) ** 2).sum() <= limit:
                yield one, other


def _thumbnails(photos: Sequence[Photo]) -> np.ndarray:
    return np.frombuffer(b"".join(photo.thumbnail for photo in photos), np.uint8).reshape(len(photos), -1)


def _nearest(one: np.ndarray, other: np.ndarray) -> list[tuple[int, int]]:
    """Return each row of ``one`` with the nearest of ``other``, where they differ by at most ``ALIKE``.

    Rows are uint8 of shape [photos, pixels].
    """
    limit = ALIKE**2 * THUMBNAIL**2
    right = other.astype(np.float32)
    squares = (right**2).sum(1)
    pairs = []
    for start in range(0, len(one), 256):
        left = one[start : start + 256]
        nearest = (squares - 2 * left.astype(np.float32) @ right.T).argmin(1)  # but for what a row's own square adds
        differences = ((left.astype(int) - other[nearest]) ** 2).sum(1)
        pairs += [(int(start + i), int(nearest[i])) for i in np.flatnonzero(differences <= limit)]
    return pairs
