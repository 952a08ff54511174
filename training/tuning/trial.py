"""One trial: what ``fit`` learns, without the test split and without an artifact."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.common.errors import TrainingError
from training.fit.dataset import Dataset
from training.fit.features import FeatureBank
from training.fit.frozen import last_layer
from training.fit.loop import Epoch, Report, TrainResult
from training.fit.options import Options, TrainConfig, configure
from training.fit.train import create_features, create_network, train
from training.metrics.commonest import no_better
from training.model.network import Recipe

LEARNING = ("train", "valid")

HELD = 2**30
"""Bytes of frozen networks and their features that are held in memory for later trials."""


class Pruned(Exception):  # noqa: N818 nothing is wrong
    """The trial lags behind the others."""


@dataclass(frozen=True)
class TrialResult:
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
class _Frozen:
    """What all trials of one frozen network share: its features, and its last layer before any training."""

    features: FeatureBank
    last_layer: dict[str, Tensor]

    def network(self) -> Recipe:
        """Return the network as it was before the first trial."""
        network = self.features.recipe
        last_layer(network).load_state_dict(self.last_layer)
        return network

    def size(self) -> int:
        """Return how many bytes the features and the network take."""
        tensors = [self.features[split].rows for split in LEARNING]
        tensors += self.features.recipe.classifier.state_dict().values()
        return sum(int(tensor.nbytes) for tensor in tensors)


class TrialTrainer:
    """Trains with one set of options after another on the same photos.

    In mode ``head``, the frozen network is asked once for each photo, whatever number of trials there are.

    Parameters
    ----------
    dataset
        Without the test split, so that no trial can see it.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._frozen: dict[tuple[object, ...], _Frozen] = {}

    def train(self, options: Options, report: Report) -> TrainResult:
        """Train with one set of options.

        Raises
        ------
        TrainingError
            The options do not go together, or training diverged.
        """
        config = configure(options)
        frozen = self._prepare(config)
        if frozen is None:
            return train(create_network(config, self.dataset), self.dataset, config, report=report)
        return train(frozen.network(), self.dataset, config, features=frozen.features, report=report)

    def prepare(self, options: Options) -> None:
        """Compute the features that a trial needs, so that other processes find them on disk."""
        self._prepare(configure(options))

    def _prepare(self, config: TrainConfig) -> _Frozen | None:
        """Return the frozen network with its features; None in mode ``full``, which freezes nothing."""
        if config.mode == "full":
            return None
        network = (config.architecture, config.weights, config.weights_key, config.image_size)
        key = (*network, config.precision, config.schedule.seed, config.views, config.augment)
        if key not in self._frozen:
            recipe = create_network(config, self.dataset)
            features = create_features(recipe, self.dataset, config)
            for split in LEARNING:
                _ = features[split]
            features.release()
            self._frozen[key] = _Frozen(features, copy.deepcopy(last_layer(recipe).state_dict()))
            while len(self._frozen) > 1 and sum(frozen.size() for frozen in self._frozen.values()) > HELD:
                del self._frozen[next(iter(self._frozen))]  # the oldest; the disk has its features
        return self._frozen[key]


def attempt(
    train: Callable[[Options, Report], TrainResult], options: Options, should_continue: Callable[[Epoch], bool]
) -> TrialResult:
    """Try one set of options; a trial that fails does not end the search.

    Parameters
    ----------
    should_continue
        Is called after each epoch, and returns whether the trial takes another one.
    """
    start, last, reason = time.perf_counter(), list[Epoch](), ""

    def report(epoch: Epoch) -> None:
        last[:] = [epoch]
        if not should_continue(epoch):
            raise Pruned

    try:
        result = train(options, report)
        state, best = "complete", result.history[result.epoch - 1]
        reason = no_better(best.validation.accuracy, result.validation_targets.bincount().tolist())
    except Pruned:
        state, best = "pruned", last[0]
    except (TrainingError, MemoryError, torch.OutOfMemoryError) as error:
        reason = str(error).partition("\n")[0] or "there is not enough memory"
        return TrialResult("failed", time.perf_counter() - start, reason=reason)
    seconds = time.perf_counter() - start
    return TrialResult(state, seconds, best.number, best.validation.accuracy, best.validation.loss, reason)
