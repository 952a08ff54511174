"""Mode ``head``: the last layer learns, on features that the frozen rest computed once."""

import torch
from torch import Tensor, nn

from training.fit import distributed
from training.fit.features import Features
from training.fit.loading import device
from training.fit.loop import Learner, Report, TrainResult, best_epoch, print_epoch
from training.fit.schedule import Schedule, order


def train_head(
    head: nn.Module, train: Features, valid: Features, schedule: Schedule, report: Report = print_epoch
) -> TrainResult:
    """Train what takes features to logits; it ends with the weights of the best epoch.

    Where photos have several views, an epoch takes one of each: the next photo's next view, the next epoch's next, so
    each epoch has some of all, and a photo shows all of its own in as many epochs. Every process of a group does this
    alone and alike, which takes less time than telling each other.

    Raises
    ------
    TrainingError
        The loss is not finite any more.
    """
    head.to(device())
    rows, targets = train.rows.to(device()), train.targets.to(device())
    views, photos = rows.shape[:2]
    batch_size = min(schedule.batch_size, photos)
    learner = Learner(head, schedule, -(-photos // batch_size), targets=train.targets.tolist())
    size = distributed.size()  # a learner expects a batch to be shared, and its gradients to be averaged

    def epoch(number: int) -> float:
        head.train()
        items = torch.tensor(order(photos, schedule.seed, number), device=device())
        losses = [
            learner.step(head(rows[(batch + number) % views, batch]), targets[batch], 1 / size) * size
            for batch in torch.split(items, batch_size)
        ]
        return sum(losses) / len(losses)

    return best_epoch(head, schedule, epoch, lambda: predict_head(head, valid), report)


def predict_head(head: nn.Module, features: Features) -> tuple[Tensor, Tensor]:
    """Return the logits [photos, classes] of each photo as it is, and the targets [photos], in memory."""
    head.eval()
    with torch.no_grad():
        return head(features.rows[0].to(device())).cpu(), features.targets
