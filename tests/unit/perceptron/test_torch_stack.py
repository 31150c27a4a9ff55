"""The batched program: what it needs to go on, and that a CUDA graph can repeat its steps."""

import gc
import weakref
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from perceptron.engines import State, torch_stack
from perceptron.engines.torch_stack import StackedNetworks
from schemas.network import NetworkConfig, Task
from schemas.training import CosineSchedule, Optimizer, TrainingConfig
from tests.unit.perceptron.data import rows_of

NETWORK = NetworkConfig(hidden_layers=(5, 4), activation="gelu")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh"}
"""Operations that make the host wait for the device, or the device for the host."""


def _trainings(count: int, optimizer: Optimizer, batch_size: int | None) -> list[TrainingConfig]:
    return [
        TrainingConfig(
            optimizer=optimizer,
            batch_size=batch_size,
            learning_rate=0.01 * (1 + seed),
            weight_decay=0.01 * seed,
            l1_penalty=0.001,
            schedule=CosineSchedule(kind="cosine"),
            seed=seed,
            epochs=12,
            record_every=4,
        )
        for seed in range(count)
    ]


def _stack(
    trainings: list[TrainingConfig], task: Task, state: State | None = None, device: str = "cpu"
) -> StackedNetworks:
    rows, valid = rows_of(task, 20, weighted=True), rows_of(task, 9, 1)
    return StackedNetworks(NETWORK, trainings, rows, valid, device=device, state=state)


def _run(networks: StackedNetworks) -> dict[int, npt.NDArray[np.float64]]:
    """Train to the end; the sums of each recorded epoch."""
    return {epochs: sums for epochs, sums in networks.run() if sums is not None}


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("batch_size", [None, 8])
def test_goes_on_from_a_state_bit_for_bit(optimizer: Optimizer, batch_size: int | None) -> None:
    """Three networks, from the state of any epoch: the sums and weights of one unbroken run."""
    trainings = _trainings(3, optimizer, batch_size)
    whole = _stack(trainings, "multiclass")
    expected = _run(whole)
    first = _stack(trainings, "multiclass")
    for epoch in range(12):
        state = first.state()
        assert int(state["epochs"]) == epoch
        second = _stack(trainings, "multiclass", state)
        found = _run(second)
        for done, sums in found.items():
            np.testing.assert_array_equal(sums, expected[done])
        np.testing.assert_array_equal(second.parameters(), whole.parameters())
        first.train(1, is_recorded=False)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lists the operations that it sees, with the very tensors that they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation and list it."""
        result = func(*args, **(kwargs or {}))
        self.seen.append((func, args, kwargs or {}, result))
        return result

    def repeat(self) -> None:
        """Do all of it again, each result to where it was: what a CUDA graph does."""
        for func, args, kwargs, before in self.seen:
            after = func(*args, **kwargs)
            for new, old in zip(tree_leaves(after), tree_leaves(before), strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


class _Graph:
    """As `Replayed` on a GPU: the first time warms up, the second lists, then all is repeated."""

    repeats = 0

    def __init__(self, device: str) -> None:
        assert device == "cpu"
        self._is_warm = False
        self._operations: _Operations | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        if not self._is_warm:
            self._is_warm = True
            work()
        elif self._operations is None:
            self._operations = _Operations()
            with self._operations:
                work()
            names = {func.overloadpacket.__name__ for func, *_ in self._operations.seen}
            assert not names & WAITING
        else:
            _Graph.repeats += 1
            self._operations.repeat()


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_step_is_a_list_of_operations_on_tensors_that_stay(
    monkeypatch: pytest.MonkeyPatch, optimizer: Optimizer, task: Task, batch_size: int | None
) -> None:
    """
    Repeated from a list without Python, steps and validation train as the program itself does.

    None of the operations waits. Both are what a CUDA graph of them needs.
    """
    trainings = _trainings(3, optimizer, batch_size)
    program = _stack(trainings, task)
    expected = _run(program)
    monkeypatch.setattr(torch_stack, "Replayed", _Graph)
    monkeypatch.setattr(_Graph, "repeats", 0)
    graphs = _stack(trainings, task)
    found = _run(graphs)
    assert _Graph.repeats >= 6
    for done, sums in expected.items():
        np.testing.assert_array_equal(found[done], sums)
    np.testing.assert_array_equal(graphs.parameters(), program.parameters())


def test_what_is_trained_is_freed_at_once() -> None:
    """No circle of references keeps a fleet's memory and graphs until garbage is collected."""
    gc.disable()
    try:
        program = _stack(_trainings(3, "adam", 8), "binary")
        _run(program)
        seen = weakref.ref(program)
        del program
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_cuda_goes_on_from_a_state_bit_for_bit(optimizer: Optimizer) -> None:
    """On a GPU too, graphs captured anew go on from a state as one unbroken run does."""
    trainings = _trainings(3, optimizer, 8)
    whole, first = (_stack(trainings, "multiclass", device="cuda") for _ in range(2))
    _run(whole)
    for _ in range(5):
        first.train(1, is_recorded=True)
    second = _stack(trainings, "multiclass", first.state(), "cuda")
    _run(second)
    np.testing.assert_array_equal(second.parameters(), whole.parameters())
