"""Where PyTorch computes: the device that a training asks for, and a GPU's graphs of work."""

import gc
from collections.abc import Callable

import torch

from schemas.errors import DeviceUnavailable
from schemas.training import Device

SMALL_WORK = 2_000_000
"""Multiplications of one step below which a second thread costs more than it gains."""

_ALL_THREADS = torch.get_num_threads()


def chosen_device(asked: Device) -> str:
    """
    Name the device: `cpu`, `cuda` or, where a number is asked for, `cuda:1`.

    Raises: DeviceUnavailable when it is not here.
    """
    if asked == "cpu":
        return asked
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda" if count else "cpu"
    if count == 0:
        raise DeviceUnavailable("this worker has no CUDA device: ask for `cpu` or `auto`")
    number = int(asked.partition(":")[2] or 0)
    if number >= count:
        last = f"its last CUDA device is `cuda:{count - 1}`"
        raise DeviceUnavailable(f"this worker has no `{asked}`: {last}")
    return asked


def set_threads(operations: int) -> None:
    """Let the CPU use one thread for steps of few multiplications, else all."""
    torch.set_num_threads(1 if operations < SMALL_WORK else _ALL_THREADS)


class Replayed:
    """
    Work on tensors that stay where they are; on a GPU a CUDA graph from the third time on.

    The first time warms up what the work uses, the second one records it. So each call does the
    work once, on every device. The work is the same each time; it must not wait for the device, nor
    depend on anything but the contents of tensors: a graph repeats the operations and runs no
    Python. It is not kept, so that whoever keeps this, and works, is no circle of references.

    Source: PyTorch, "CUDA semantics", the section on CUDA graphs.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Queue the work on the device's current stream."""
        if self._device.type != "cuda":
            work()
            return
        with torch.cuda.device(self._device):
            if self._stream is None:
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                _warm_up(work, self._stream)
                return
            if self._graph is None:
                self._graph = _recorded(work, self._stream)
            self._graph.replay()


def _warm_up(work: Callable[[], None], aside: torch.cuda.Stream) -> None:
    current = torch.cuda.current_stream()
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        work()
    current.wait_stream(aside)


def _recorded(work: Callable[[], None], aside: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
    """Record the work; garbage waits, as a graph that is freed meanwhile ends the recording."""
    graph = torch.cuda.CUDAGraph()
    collects = gc.isenabled()
    gc.disable()
    try:
        with torch.cuda.graph(graph, stream=aside):
            work()
    finally:
        if collects:
            gc.enable()
    return graph
