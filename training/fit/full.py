"""Mode ``full``: every layer learns."""

from training.console import track
from training.data.photos import PixelDataset
from training.fit.evaluation import predict
from training.fit.loading import device, loader
from training.fit.loop import Learner, Outcome, best_epoch
from training.fit.schedule import Schedule, order
from training.model.network import Recipe


def train_full(recipe: Recipe, train: PixelDataset, valid: PixelDataset, schedule: Schedule) -> Outcome:
    """Train every layer.

    Raises
    ------
    TrainingError
        The loss is not finite any more.
    """
    classifier = recipe.classifier
    # A batch of one photo has no variance to normalise by, so a rest of a batch waits for the next epoch's order.
    batch_size = min(schedule.batch_size, len(train))
    steps = len(train) // batch_size
    step = Learner(classifier, schedule, steps)

    def epoch(number: int) -> float:
        classifier.train()
        items = [number * len(train) + i for i in order(len(train), schedule.seed, number)[: steps * batch_size]]
        total = 0.0
        for pixels, targets in track(loader(train, batch_size, items), f"Epoch {number + 1}", steps):
            total += step(classifier(pixels.to(device())), targets.to(device()))
        return total / steps

    return best_epoch(classifier, schedule, epoch, lambda: predict(classifier, valid, "Validating"))
