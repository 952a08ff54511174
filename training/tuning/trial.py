"""One trial: what ``fit`` learns, without the test split and without an artifact."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.common.errors import TrainingError
from training.data.photos import Photos, PixelDataset
from training.fit.features import FeatureBank, Features, Views
from training.fit.frozen import last_layer
from training.fit.full import train_full
from training.fit.head import train_head
from training.fit.loading import device, set_seed
from training.fit.loop import Epoch, Outcome, Report
from training.fit.options import Options, Plan, plan
from training.fit.speed import choose_precision
from training.metrics.commonest import no_better
from training.model.network import Recipe, create

HELD = 2**30
"""Bytes of features that are held in memory for trials to come: each network and number of views has its own."""


class Pruned(Exception):  # noqa: N818 nothing is wrong
    """The trial lags behind the others."""


@dataclass(frozen=True)
class Ending:
    """How a trial ended; of its best epoch if it is ``complete``, of its last one if it is ``pruned``.

    Parameters
    ----------
    state
        ``complete``, ``pruned`` or ``failed``.
    epoch, accuracy, loss
        Counted from 1; of the validation split. Zero if it failed.
    reason
        Why it failed, or why the accuracy of a complete trial is none, see ``no_better``.
    """

    state: str
    seconds: float
    epoch: int = 0
    accuracy: float = 0.0
    loss: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Known:
    """What all trials of one frozen network share."""

    head: nn.Linear
    train: Features
    valid: Features

    def size(self) -> int:
        """Return how many bytes the features take."""
        return self.train.rows.nbytes + self.valid.rows.nbytes


class Trainer:
    """Trains with one set of options after another on the same photos.

    In mode ``head``, the frozen network is asked once for each photo, whatever number of trials there are.

    Parameters
    ----------
    photos
        Without the test split, so that no trial can see it.
    side
        Of the photos, see ``Survey``.
    features
        Folder that keeps what frozen networks compute.
    """

    def __init__(self, photos: Photos, side: int, features: Path) -> None:
        self.photos, self.side, self.features = photos, side, features
        self._known: dict[tuple[object, ...], _Known] = {}

    def __call__(self, options: Options, report: Report) -> Outcome:
        """Train.

        Raises
        ------
        TrainingError
            The options do not go together, or training diverged.
        """
        chosen = plan(options)
        if chosen.mode == "head":
            known = self._frozen(options, chosen)
            return train_head(copy.deepcopy(known.head), known.train, known.valid, chosen.schedule, report)
        recipe = self._recipe(options)
        train = PixelDataset(self.photos.splits["train"], recipe.rule, chosen.augment, options.seed)
        valid = PixelDataset(self.photos.splits["valid"], recipe.rule)
        precision = options.precision or choose_precision(recipe.classifier, recipe.rule.crop)
        return train_full(recipe, train, valid, chosen.schedule, precision, report=report)

    def prepare(self, options: Options) -> None:
        """Compute the features that a trial needs, so that other processes find them on disk."""
        chosen = plan(options)
        if chosen.mode == "head":
            self._frozen(options, chosen)

    def _frozen(self, options: Options, chosen: Plan) -> _Known:
        seen = (options.arch, options.weights, options.weights_key, options.image_size, options.precision, options.seed)
        key = (*seen, options.views, chosen.augment)
        if key not in self._known:
            recipe = self._recipe(options)
            precision = options.precision or choose_precision(recipe.classifier, recipe.rule.crop)
            views = Views(options.views, chosen.augment, options.seed)
            bank = FeatureBank(recipe, self.photos, self.features, precision, views)
            self._known[key] = _Known(last_layer(recipe), bank["train"], bank["valid"])
            while len(self._known) > 1 and sum(each.size() for each in self._known.values()) > HELD:
                del self._known[next(iter(self._known))]  # the oldest; the disk has it
        return self._known[key]

    def _recipe(self, options: Options) -> Recipe:
        set_seed(options.seed)
        classes, size = len(self.photos.classes), options.image_size
        recipe = create(options.arch, options.weights, classes, size, self.side, options.weights_key)
        recipe.classifier.to(device())
        return recipe


def attempt(train: Callable[[Options, Report], Outcome], options: Options, go_on: Callable[[Epoch], bool]) -> Ending:
    """Try one set of options; a trial that cannot be is no reason to end a search.

    Parameters
    ----------
    go_on
        Is told of each epoch, and says whether there is to be a next one.
    """
    start, last, reason = time.perf_counter(), list[Epoch](), ""

    def report(epoch: Epoch) -> None:
        last[:] = [epoch]
        if not go_on(epoch):
            raise Pruned

    try:
        outcome = train(options, report)
        state, best = "complete", outcome.history[outcome.epoch - 1]
        reason = no_better(best.validation.accuracy, outcome.validation_targets.bincount().tolist())
    except Pruned:
        state, best = "pruned", last[0]
    except (TrainingError, MemoryError, torch.OutOfMemoryError) as error:
        reason = str(error).partition("\n")[0] or "there is not enough memory"
        return Ending("failed", time.perf_counter() - start, reason=reason)
    seconds = time.perf_counter() - start
    return Ending(state, seconds, best.number, best.validation.accuracy, best.validation.loss, reason)
