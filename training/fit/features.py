"""What the frozen part of a network makes of photos: computed once, kept, and shared by all who train on it."""

import hashlib
import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.common.console import console, say, track
from training.common.files import sha256
from training.data.photos import Photo, Photos
from training.data.pixels import augment, fit, read_photo, to_tensor
from training.fit import distributed
from training.fit.feature_cache import FeatureCache
from training.fit.frozen import Frozen
from training.model.network import Recipe
from training.serving.cores import cores

CHUNK = 1024
"""Rows a file: what a process that is killed has to compute again, at most."""

AHEAD = 3
"""Batches of photos that are decoded before their turn."""


@dataclass(frozen=True)
class Views:
    """In which ways each photo is seen: first as serving sees it, then varied.

    Parameters
    ----------
    policy
        Of the second and all others, see ``pixels.augment``. How one varies depends on ``seed``, its number and the
        photo's bytes.
    """

    count: int = 1
    policy: str = "none"
    seed: int = 0


@dataclass(frozen=True)
class Features:
    """Of one split: ``rows`` of shape [views, photos, width], ``targets`` of shape [photos], both in memory."""

    rows: Tensor
    targets: Tensor


@dataclass(frozen=True)
class _View:
    """One view of one photo."""

    photo: Photo
    digest: str
    number: int

    def key(self, views: Views) -> bytes:
        """Return what the row of features is kept under."""
        varied = f"{views.policy} {views.seed} {self.number}" if self.number else "as served"
        return hashlib.sha256(f"{self.digest} {varied}".encode()).digest()


@dataclass
class FeatureBank:
    """The features of the three splits, each computed when it is first asked for.

    With several processes, each computes its share and all get everything, to the last bit what one process computes
    (given as many threads: with another number of them, some layers of some networks sum in another order).

    Parameters
    ----------
    precision
        For ``train``, see ``Frozen``. The other splits are always computed in float32: they measure what is served.
    folder
        Where features are kept, see ``FeatureCache``.
    """

    recipe: Recipe
    photos: Photos
    folder: Path
    precision: str = "float32"
    views: Views = field(default_factory=Views)
    facts: dict[str, Any] = field(default_factory=dict)
    """For the manifest."""
    _frozen: dict[tuple[str, int], Frozen] = field(default_factory=dict)
    _made: dict[str, Features] = field(default_factory=dict)

    def __getitem__(self, split: str) -> Features:
        """Return the features of ``train``, ``valid`` or ``test``.

        Raises
        ------
        TrainingError
            The network has no linear last layer, or a photo cannot be read.
        """
        if split not in self._made:
            train = split == "train"
            views, precision = (self.views, self.precision) if train else (Views(), "float32")
            self._made[split] = self._make(split, views, precision)
        return self._made[split]

    def _make(self, split: str, views: Views, precision: str) -> Features:
        start, photos = time.perf_counter(), self.photos.splits[split]
        mine = distributed.slice_of(photos)
        with ThreadPoolExecutor(_cores()) as pool:
            digests = list(pool.map(sha256, [photo.path for photo in mine]))
        keys = {
            _View(photo, digest, number).key(views): _View(photo, digest, number)
            for photo, digest in zip(mine, digests, strict=True)
            for number in range(views.count)
        }
        # By all photos, not by those that are still to be seen: then the same photos have the same features.
        # Validation and test share one network, in float32, which is not worth compiling.
        frozen = self._network(precision, len(photos) * views.count if split == "train" else 0)
        cache, rows, missing = self._kept(frozen, keys)
        if frozen.compiled and not _compiled(frozen, needed=bool(missing)):
            frozen = self._network(precision, 0)
            cache, rows, missing = self._kept(frozen, keys)
        rows |= _compute(frozen, missing, views, cache, f"Features, {split}")
        own = torch.empty(len(mine), views.count, frozen.width)
        for i, (photo, digest) in enumerate(zip(mine, digests, strict=True)):
            for number in range(views.count):
                own[i, number] = rows[_View(photo, digest, number).key(views)]
        computed = round(distributed.total([len(missing)])[0])
        whole = distributed.gather(own, len(photos)).transpose(0, 1).contiguous()
        self._report(split, views, frozen, cache, computed, time.perf_counter() - start)
        return Features(whole, torch.tensor([photo.target for photo in photos]))

    def _report(
        self, split: str, views: Views, frozen: Frozen, cache: FeatureCache, computed: int, seconds: float
    ) -> None:
        """Print what was computed, and keep it for the manifest."""
        self.facts[split] = {
            "views": views.count,
            "precision": frozen.precision,
            "batch_norm_folded": frozen.folded,
            "compiled": frozen.compiled,
            "computed": computed,
            "seconds": round(seconds, 2),
        }
        say(
            "Features",
            f"{split}: {len(self.photos.splits[split])} photos"
            + (f" in {views.count} views" if views.count > 1 else "")
            + f", {computed} computed in {frozen.precision}, {seconds:.1f} s; "
            f"{cache.folder} has {cache.size() / 1e6:.1f} MB",
        )

    def release(self) -> None:
        """Free the frozen networks; they are made again if they are needed."""
        self._frozen.clear()

    def _network(self, precision: str, photos: int) -> Frozen:
        if (precision, photos) not in self._frozen:
            self._frozen[precision, photos] = Frozen(self.recipe, precision, photos)
        return self._frozen[precision, photos]

    def _kept(
        self, frozen: Frozen, views: dict[bytes, _View]
    ) -> tuple[FeatureCache, dict[bytes, Tensor], dict[bytes, _View]]:
        """Return what was computed before, and the views that are still to be seen."""
        cache = FeatureCache(self.folder, frozen.identity)
        rows = cache.read(views)
        return cache, rows, {key: view for key, view in views.items() if key not in rows}


def _compiled(frozen: Frozen, *, needed: bool) -> bool:
    """Compile a network where it is needed, and return whether that worked in every process."""
    with console.status("Compiling the network"):
        works = not needed or frozen.compile()
    agreed = distributed.total([works])[0] == distributed.size()
    if not agreed:
        say("Features", "the network cannot be compiled here (no C++ compiler?), and takes up to twice the time")
    return agreed


def _compute(
    frozen: Frozen, missing: dict[bytes, _View], views: Views, cache: FeatureCache, title: str
) -> dict[bytes, Tensor]:
    """Return the features of each missing view, and keep them."""
    rows, unkept = dict[bytes, Tensor](), dict[bytes, Tensor]()
    keys = list(missing)
    batches = [keys[i : i + frozen.batch] for i in range(0, len(keys), frozen.batch)]
    with ThreadPoolExecutor(_cores()) as pool:  # Pillow decodes outside the interpreter's lock
        pixels = _decoded(pool, [[missing[key] for key in batch] for batch in batches], frozen, views)
        for batch, decoded in zip(batches, track(pixels, title, len(batches)), strict=True):
            unkept |= dict(zip(batch, frozen.compute(decoded), strict=True))
            if len(unkept) >= CHUNK or batch is batches[-1]:
                cache.write(unkept)
                rows, unkept = rows | unkept, {}
    return rows


def _decoded(pool: ThreadPoolExecutor, batches: list[list[_View]], frozen: Frozen, views: Views) -> Iterator[Tensor]:
    ahead = deque[list[Future[Tensor]]]()
    for batch in batches:
        ahead.append([pool.submit(partial(_pixels, view, frozen, views)) for view in batch])
        if len(ahead) > AHEAD:
            yield torch.stack([future.result() for future in ahead.popleft()])
    while ahead:
        yield torch.stack([future.result() for future in ahead.popleft()])


def _pixels(view: _View, frozen: Frozen, views: Views) -> Tensor:
    photo = read_photo(view.photo.path)
    if view.number == 0:
        return to_tensor(fit(photo, frozen.rule))
    chance = random.Random(f"{views.seed} {view.number} {view.digest}")  # noqa: S311
    return to_tensor(augment(photo, frozen.rule, views.policy, chance))


def _cores() -> int:
    return min(cores(), 16)
