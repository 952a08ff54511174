"""Where a checkpoint has its weights, and what wrappers add to their names; for tensors and for stand-ins of them."""

import re
from collections.abc import Iterable
from typing import Any, TypeVar

NESTED = ("state_dict", "model_state_dict", "model")
"""Under which training loops keep the weights in a checkpoint that holds more."""

AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema")
"""Under which they keep the moving average of the weights, beside the weights themselves or without them."""

COUNT = "n_averaged"
"""What PyTorch's ``AveragedModel`` keeps beside the module."""

LOSS = re.compile(r"(\w+_)?(criterion|criteria|loss|loss_fn|loss_func|loss_function)(_\w+)?\.")
"""How the names of a loss's tensors begin, such as a weighted one's in a ``LightningModule``."""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
"""What DataParallel, ``torch.compile`` and modules around a network put before every name of a head alone; of a whole
network they put whatever they like, since none of torchvision's has all its layers in one module."""

T = TypeVar("T")


def tensors(content: Any, kind: type[T]) -> dict[str, T]:
    """Return the tensors of a state_dict, which may lie under one more of the usual names.

    Parameters
    ----------
    kind
        The type of a tensor.
    """
    if not isinstance(content, dict):
        return {}
    for name in (*NESTED, *AVERAGED, "module"):
        if isinstance(content.get(name), dict) and (found := tensors(content[name], kind)):
            return found
    return {str(name): value for name, value in content.items() if isinstance(value, kind)}


def parts(content: dict[Any, Any], kind: type[T]) -> dict[str, dict[str, T]]:
    """Return the sets of tensors of a checkpoint by their usual names, that which is taken first."""
    return {name: part for name in (*NESTED, *AVERAGED) if (part := tensors(content.get(name), kind))}


def without_prefixes(state: dict[str, T], notes: list[str], *, whole: bool) -> dict[str, T]:
    """Return a state_dict by the names that it has without wrappers, and without what these keep beside it.

    Parameters
    ----------
    notes
        Gets what was left aside.
    whole
        Whether it is of a whole network.
    """
    while wrapper := _wrapper(state, whole):
        prefix, aside = wrapper
        if COUNT in aside:
            notes.append("the average that AveragedModel kept")
        if losses := [name for name in aside if name != COUNT]:
            notes.append(f"without {', '.join(losses)}, which is of the loss")
        state = {name.removeprefix(prefix): value for name, value in state.items() if name not in aside}
    return state


def _wrapper(names: Iterable[str], whole: bool) -> tuple[str, list[str]] | None:
    """Return the outermost wrapper's prefix, and the names of what it keeps beside the network."""
    aside: list[str] = []
    inside: list[str] = []
    for name in names:
        (aside if name == COUNT or LOSS.match(name) else inside).append(name)
    if not inside:
        return None
    prefix = f"{inside[0].partition('.')[0]}."
    is_one = (whole or prefix in PREFIXES) and all(name.startswith(prefix) for name in inside)
    return (prefix, aside) if is_one else None
