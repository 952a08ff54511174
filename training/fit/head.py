"""Mode ``head``: the last layer learns, on features that the frozen rest computed once."""

import torch
from torch import Tensor, nn

from training.data.photos import PixelDataset
from training.errors import TrainingError
from training.fit.evaluation import predict
from training.fit.loading import device
from training.fit.loop import Learner, Outcome, best_epoch
from training.fit.schedule import Schedule, order
from training.model.network import Recipe


def train_head(recipe: Recipe, train: PixelDataset, valid: PixelDataset, schedule: Schedule) -> Outcome:
    """Train the last layer alone, on features that the frozen rest computes once for each photo.

    Raises
    ------
    TrainingError
        The last layer is not a linear one that takes the features of the rest, or the loss is not finite any more.
    """
    network = recipe.classifier.network
    head = network.get_submodule(recipe.head)
    if not isinstance(head, nn.Linear):
        raise TrainingError(f"{recipe.architecture} has no linear last layer to train alone; use --mode full")
    network.set_submodule(recipe.head, nn.Identity())
    try:
        features, targets = (each.to(device()) for each in predict(recipe.classifier, train, "Features"))
        valid_features, valid_targets = predict(recipe.classifier, valid, "Features")
    finally:
        network.set_submodule(recipe.head, head)
    batch_size = min(schedule.batch_size, len(train))
    step = Learner(head, schedule, -(-len(train) // batch_size))

    def epoch(number: int) -> float:
        head.train()
        items = order(len(train), schedule.seed, number)
        batches = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
        losses = [step(head(features[batch]), targets[batch]) for batch in batches]
        return sum(losses) / len(losses)

    def validate() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return head(valid_features.to(device())).cpu(), valid_targets

    return best_epoch(head, schedule, epoch, validate)
