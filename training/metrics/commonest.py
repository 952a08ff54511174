"""The least that a model has to beat: naming the commonest class for every photo."""

from collections.abc import Sequence

from training.metrics.assessment import wilson


def no_better(accuracy: float, counts: Sequence[int]) -> str:
    """Return a line that says so if the accuracy is no better than naming the commonest class, else nothing.

    "No better" is up to the upper bound of the interval (95 %, see ``wilson``) of that share: with few photos, chance
    takes a model that has learnt nothing a little above it. All photos right is better wherever there are two classes.

    Parameters
    ----------
    accuracy
        Share of the photos that are right.
    counts
        Photos of each class.
    """
    images, most = sum(counts), max(counts)
    if accuracy > wilson(most, images)[1] or most == images:
        return ""
    return (
        f"accuracy {accuracy:.4f} is no better than always answering the most common class ({most / images:.4f} of "
        f"{images} photos, within chance); try --weights DEFAULT, more --epochs or another --lr, and check the labels"
    )
