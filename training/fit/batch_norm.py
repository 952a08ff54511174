"""Batch norm: frozen statistics, statistics over all processes, and statistics that are computed again.

PyTorch's own SyncBatchNorm is for GPUs alone. This one does the same on the CPU, with PyTorch's fused kernels: one
message forward and one back for each layer.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.fit import distributed
from training.fit.schedule import weight_of_the_past

INITIAL_SHARE = 1e-6
"""Largest share of the initial value in running statistics that are used as they are.

The initial value is a mean of 0 and a variance of 1, or the statistics that the weights came with. The true variance is
often far below 1: on the sample photos at 64 pixels, the smallest of MobileNetV2 is 6e-5, so that even a share of 0.001
replaces it. After 70 steps with momentum 0.1 (share 0.0006), MobileNetV2 has a test accuracy of 0.10, and 0.69 with
statistics that are computed again; after 140 steps (4e-7) it has 0.77 and 0.79 (`bench/architectures.py`). With
PyTorch's momentum of 0.1 no more than this share is left after 132 steps, with 0.01 after 1,375, with MNASNet's 0.0003
after 46,045.
"""


def freeze(module: nn.Module) -> None:
    """Have every batch norm use the statistics that it has; its weight and bias go on learning."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


def synchronise(module: nn.Module) -> nn.Module:
    """Have every batch norm take the statistics of the whole batch, wherever its parts are.

    The names of the module's state stay as they are.
    """
    if distributed.size() == 1:
        return module
    if next(module.parameters()).is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d and layer.affine and layer.track_running_stats:
            layer.__class__ = Synchronised  # type: ignore[assignment] # the same parameters and buffers, another forward
    return module


def initial_share(momentum: float | None, steps: int, ema: float = 0.0) -> float:
    """Return the share of the initial value in running statistics after so many steps.

    Parameters
    ----------
    momentum
        Share of a batch in the running statistics after it; None: they are the mean of all batches.
    ema
        ``Schedule.ema``. The averaged weights have averaged statistics, which keep more of the initial value.
    """
    running = average = 1.0
    for step in range(steps):
        running *= 0.0 if momentum is None else 1 - momentum
        past = weight_of_the_past(ema, step) if ema and step else 0.0  # the average begins as a copy after step 1
        average = past * average + (1 - past) * running
        if average <= INITIAL_SHARE:  # it only falls
            break
    return average


def needs_statistics(module: nn.Module, steps: int, ema: float = 0.0) -> bool:
    """Return whether running statistics still hold more than ``INITIAL_SHARE`` of their initial value after training.

    A rule from the momentum and the number of steps of the whole training.
    """
    momenta = {layer.momentum for layer in module.modules() if isinstance(layer, _BatchNorm) and _tracks(layer)}
    return any(initial_share(momentum, steps, ema) > INITIAL_SHARE for momentum in momenta)


def with_statistics_of(module: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of the module whose batch norm has the mean statistics of these batches.

    The method is that of ``torch.optim.swa_utils.update_bn``, but for dropout and stochastic depth, which are off, so
    the statistics are those of inference. The module itself does not change: training resumes from a checkpoint
    as if there had been no copy. With several processes, each has its part of every batch (see ``synchronise``).

    Parameters
    ----------
    batches
        Pixels on the module's device, as the module takes them. Photos of one class alone make a bad batch.
    """
    copied = copy.deepcopy(module).eval()
    layers = [layer for layer in copied.modules() if isinstance(layer, _BatchNorm) and _tracks(layer)]
    before = [(layer.momentum, layer.get_buffer("num_batches_tracked").clone()) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for pixels in batches:
            copied(pixels)
    for layer, (momentum, tracked) in zip(layers, before, strict=True):
        layer.momentum = momentum
        layer.get_buffer("num_batches_tracked").copy_(tracked)  # it counts training's batches
    return copied.eval()


def _tracks(layer: _BatchNorm) -> bool:
    return layer.track_running_stats and layer.running_mean is not None


class Synchronised(_BatchNorm):
    """Batch norm over all processes, on the CPU."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Take float values of shape [photos, channels, ...] to the same shape."""
        if not self.training:
            result: Tensor = super().forward(pixels)
            return result
        dims = [dim for dim in range(pixels.dim()) if dim != 1]
        with torch.no_grad():
            values = pixels.float()
            variance, mean = torch.var_mean(values, dims, correction=0)
            mine = values.numel() / values.shape[1]
            # In float64: a variance as the difference of two sums would lose float32's last digits.
            sums = mine * torch.cat([mean.double(), variance.double() + mean.double() ** 2, torch.ones(1)])
            dist.all_reduce(sums)
            count = sums[-1].item()
            mean, square = (sums[:-1] / count).chunk(2)
            variance = square - mean**2
            self._follow(mean.float(), (variance * count / (count - 1)).float())
        return _Normalise.apply(  # type: ignore[no-any-return, no-untyped-call]
            pixels, self.weight, self.bias, mean.float(), variance.float(), self.eps, count
        )

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        state = dict(self.named_buffers())
        state["num_batches_tracked"] += 1
        # Without a momentum, the mean of all batches, as PyTorch's own has it.
        weight = self.momentum if self.momentum is not None else 1 / int(state["num_batches_tracked"])
        state["running_mean"].lerp_(mean, weight)
        state["running_var"].lerp_(variance, weight)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 the base class's name
        """Accept what the class that this one stands in for has accepted."""


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pixels: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, count: float
    ) -> Tensor:
        ctx.save_for_backward(pixels, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        return torch.native_batch_norm(pixels, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pixels, weight, mean, variance = ctx.saved_tensors
        # As if the statistics were constants; how they follow the pixels is added below.
        own, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, pixels, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([by_weight, by_bias]).double()
        dist.all_reduce(sums)
        of_weight, of_bias = (sums / ctx.count).float()
        deviation = (variance + ctx.eps).rsqrt()
        slope = -weight * deviation**2 * of_weight
        offset = -weight * deviation * of_bias - slope * mean
        shape = [1, -1] + [1] * (pixels.dim() - 2)
        own = own + torch.addcmul(offset.view(shape), pixels.float(), slope.view(shape)).to(own.dtype)
        return own, by_weight, by_bias, None, None, None, None
