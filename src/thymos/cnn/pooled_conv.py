"""Convolution, ReLU and 2×2 max pooling as one step in bfloat16, for training on a CPU.

The same function as the three layers (up to bfloat16 rounding), in about two thirds of the time, by three facts:

- Pooling and ReLU commute, and non-negative bfloat16 numbers order like the int16 numbers of the same bits, while
  every negative one is a negative int16. So ReLU and pooling are ``clamp(max(int16 views), 0)``, exactly. PyTorch's
  int16 kernels run at the memory's speed; its bfloat16 pooling is many times slower and keeps 8 bytes of index for
  each output.
- Sending a gradient to the winner of a comparison is a product of its bits with 0 or 1, and the loser gets the
  difference: no index is kept. (On an exact tie one winner gets all, as in PyTorch, though maybe the other one.)
- Pooling keeps the sum of the gradients, so the bias gradient is summed behind it, where it is four times smaller.

Tensors here are ``(batch, height, width, channels)``, contiguous.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class PooledConv(torch.autograd.Function):
    """``x (n, h, w, c_in)``, ``weight (c, c_in, k, k)``, ``bias (c)`` -> ``(n, h // 2, w // 2, c)``, bfloat16.

    The convolution keeps the size ("same" padding); k is odd. Weight and bias are float32, and so are their gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the pooled maps of ``x``."""
        kernels = weight.to(x.dtype, memory_format=torch.channels_last)
        maps = functional.conv2d(x.permute(0, 3, 1, 2), kernels, bias.to(x.dtype), padding=weight.shape[-1] // 2)
        maps = maps.permute(0, 2, 3, 1).contiguous()
        tall, pooled = _pool_relu(maps)
        ctx.save_for_backward(x, kernels, maps, tall, pooled)
        return pooled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return the gradients of ``x``, ``weight`` and ``bias``."""
        x, kernels, maps, tall, pooled = ctx.saved_tensors
        grad_maps, grad_pooled = _pool_relu_backward(grads[0].contiguous(), maps, tall, pooled)
        padding = kernels.shape[-1] // 2
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad_maps.permute(0, 3, 1, 2),
            x.permute(0, 3, 1, 2),
            kernels,
            bias_sizes=None,
            stride=[1, 1],
            padding=[padding, padding],
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=1,
            output_mask=[ctx.needs_input_grad[0], True, False],
        )
        if grad_x is not None:
            grad_x = grad_x.permute(0, 2, 3, 1)
        return grad_x, grad_weight.float(), _sum_pixels(grad_pooled)


def dropout(x: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Dropout with 16 random bits for each value, which is five times faster than bfloat16's own draw.

    The probability is rounded to 1 / 65536. Drawn from ``generator``, or from torch's own where that is None.
    """
    count = (x.numel() + 3) // 4
    words = torch.empty(count, dtype=torch.int64, device=x.device).random_(-(2**63), None, generator=generator)
    keep = words.view(torch.int16)[: x.numel()].ge_(round(probability * 65536) - 32768)
    return x * keep.view(x.shape).to(x.dtype).mul_(1 / (1 - probability))


def _pool_relu(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bits of the maxima of row pairs, and the pooled maps."""
    tall = torch.maximum(*_row_pairs(_bits(maps)))
    return tall, torch.maximum(*_column_pairs(tall)).clamp_min_(0).view(maps.dtype)


def _pool_relu_backward(grad: Tensor, maps: Tensor, tall: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient before the pooling, and behind it but before the ReLU."""
    grad_pooled, grad_maps = torch.empty_like(pooled), torch.empty_like(maps)
    grad_tall = torch.empty_like(tall)
    if maps.shape[1] % 2:  # an odd last row or column is in no window
        grad_maps[:, -1] = 0
    if maps.shape[2] % 2:
        grad_tall[:, :, -1] = 0
    behind = torch.gt(_bits(pooled), 0, out=_bits(grad_pooled)).mul_(_bits(grad))
    _share(behind, *_column_pairs(tall), *_column_pairs(grad_tall))
    _share(grad_tall, *_row_pairs(_bits(maps)), *_row_pairs(_bits(grad_maps)))
    return grad_maps, grad_pooled


def _share(grad: Tensor, a: Tensor, b: Tensor, grad_a: Tensor, grad_b: Tensor) -> None:
    """Write the bits ``grad`` to ``grad_a`` where ``a >= b`` and to ``grad_b`` elsewhere."""
    torch.ge(a, b, out=grad_a)
    grad_a.mul_(grad)
    torch.sub(grad, grad_a, out=grad_b)


def _bits(x: Tensor) -> Tensor:
    return x.view(torch.int16)


def _row_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower rows of the pooling windows, each ``(n, h // 2, w, c)``."""
    even = x.shape[1] // 2 * 2
    return x[:, 0:even:2], x[:, 1:even:2]


def _column_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right columns of the pooling windows, each ``(n, h, w // 2, c)``."""
    even = x.shape[2] // 2 * 2
    return x[:, :, 0:even:2], x[:, :, 1:even:2]


def _sum_pixels(grad: Tensor) -> Tensor:
    """``(n, h, w, c) -> (c)``, float32: a matrix product, since bfloat16's own sum is slow."""
    return (grad.new_ones((1, grad[..., 0].numel())) @ grad.flatten(0, 2))[0].float()
