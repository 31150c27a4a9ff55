"""Where PyTorch computes."""

import subprocess
import sys

import pytest
import torch

from perceptron.engines.torch_devices import Replayed, chosen_device
from schemas.errors import DeviceUnavailable

IMPORTS = """
import torch
def never(*_, **__):
    raise AssertionError("CUDA was asked at import")
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device"):
    setattr(torch.cuda, name, never)
from perceptron.engines import warm_up
warm_up("torch")
import perceptron.engines.torch_fleet
assert not torch.cuda.is_initialized()
"""


def _gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("gpus", "asked", "device"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cuda", "cuda"),
        (2, "cuda:0", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (64, "cuda:63", "cuda:63"),
    ],
)
def test_what_is_asked_for_is_taken(
    monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str, device: str
) -> None:
    """`auto` takes a GPU where there is one; any other word takes what it says."""
    _gpus(monkeypatch, gpus)
    assert chosen_device(asked) == device


@pytest.mark.parametrize(
    ("gpus", "asked", "says"),
    [(0, "cuda", "no CUDA device"), (0, "cuda:0", "no CUDA device"), (2, "cuda:2", "`cuda:1`")],
)
def test_what_is_not_here_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str, says: str
) -> None:
    """A GPU that the worker does not have raises DeviceUnavailable, which says what it has."""
    _gpus(monkeypatch, gpus)
    with pytest.raises(DeviceUnavailable, match=says):
        chosen_device(asked)


def test_importing_the_engines_asks_nothing_of_cuda() -> None:
    """A worker that forks others may import the engines: they look for no GPU until a training."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ),
    ],
)
def test_each_call_does_the_work_once(device: str) -> None:
    """The warm-up, the recording and every repetition count as one time each."""
    total = torch.zeros(3, device=device)
    step = torch.ones(3, device=device)

    def add() -> None:
        total.add_(step)

    replayed = Replayed(device)
    expected = 0
    for size in (1, 2, 3, 4, 5):
        step.fill_(size)
        replayed(add)
        expected += size
        assert total.tolist() == [expected] * 3
