"""The fast way through the study's blocks must be the plain one, up to bfloat16's rounding."""

import pytest
import torch
from torch.nn import functional

from thymos.cnn.networks import StudyCNN, StudyCNNSettings
from thymos.cnn.pooled_conv import PooledConv, dropout


def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    maps = functional.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=weight.shape[-1] // 2)
    return functional.relu(functional.max_pool2d(maps, 2)).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (9, 5)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [1, 16])
def test_pooled_conv_and_its_gradients(height, width, kernel, channels):
    torch.manual_seed(0)
    x = torch.randn(6, height, width, channels).bfloat16()
    weight = torch.randn(16, channels, kernel, kernel).bfloat16().float()
    bias = torch.randn(16).bfloat16().float()
    sides = []
    for dtype, function in ((torch.bfloat16, PooledConv.apply), (torch.float64, plain)):
        inputs = x.detach().to(dtype, copy=True).requires_grad_()
        wide = torch.float32 if dtype == torch.bfloat16 else dtype
        parameters = [p.to(wide, copy=True).requires_grad_() for p in (weight, bias)]
        pooled = function(inputs, *parameters)
        pooled.double().square().sum().backward()
        sides.append([pooled.double(), inputs.grad.double(), *(p.grad.double() for p in parameters)])
    for fast, exact in zip(*sides, strict=True):
        assert fast.shape == exact.shape
        assert functional.cosine_similarity(fast.flatten(), exact.flatten(), dim=0) > 0.995
        assert fast.norm().item() == pytest.approx(exact.norm().item(), rel=0.02)


def test_gradient_goes_to_one_winner_of_a_tie():
    x = torch.ones(1, 2, 2, 1).bfloat16()
    weight, bias = torch.ones(1, 1, 1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    pooled = PooledConv.apply(x, weight, bias)
    pooled.sum().backward()
    # Four equal inputs of 1: whichever wins, the weight's gradient is that one input, not the sum of four.
    assert weight.grad.item() == 1
    assert bias.grad.item() == 1


def test_dropout_keeps_the_mean_and_the_share():
    torch.manual_seed(0)
    dropped = dropout(torch.ones(200, 300).bfloat16(), 0.3)
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert dropped.float().mean() == pytest.approx(1, abs=0.02)


def test_both_ways_give_the_same_logits():
    torch.manual_seed(0)
    model = StudyCNN(StudyCNNSettings(), (1, 128, 130), 5).eval()
    spectrograms = torch.randn(4, 1, 128, 130)
    exact = model(spectrograms)
    with torch.autocast("cpu", torch.bfloat16):
        fast = model(spectrograms)
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().max() < 0.05 * exact.abs().max()


def test_dropout_of_a_generator_is_its_own() -> None:
    """Whatever else draws meanwhile: shards of a batch are worked on side by side."""
    x = torch.ones(50, 40)
    first = dropout(x, 0.5, torch.Generator().manual_seed(3))
    torch.rand(7)
    assert torch.equal(dropout(x, 0.5, torch.Generator().manual_seed(3)), first)
    assert not torch.equal(dropout(x, 0.5, torch.Generator().manual_seed(4)), first)
