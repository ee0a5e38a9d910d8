"""Threads of libraries, and the device that networks run on."""

import pytest
import torch

from thymos.engine.process import chosen_device, one_thread
from thymos.errors import RunError


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(ValueError, match="x"), one_thread():
            assert torch.get_num_threads() == 1
            raise ValueError("x")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_processor_is_always_there() -> None:
    assert chosen_device("cpu") == "cpu"
    there = [
        name
        for name, usable in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if usable
    ]
    assert chosen_device("auto") == (there or ["cpu"])[0]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_one_sentence(device: str) -> None:
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[device]
    if usable:
        assert chosen_device(device) == device
    else:
        with pytest.raises(RunError, match=f"no device {device} on this machine"):
            chosen_device(device)
