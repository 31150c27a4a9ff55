"""
Time fleets of networks on a GPU beside a plain PyTorch loop on the same card, and its limits.

    python benchmarks/gpu.py [--device cuda:1] [--seconds S] [--json FILE]

Each piece of work trains for some seconds after its graphs are captured, without records. The
limits are measured too: how often per second the card replays a graph that does next to nothing
(small networks take many epochs in one launch, and pass it), how many bytes per second a copy on
the device reads and writes, and how many operations a product of matrices does. `--device cpu`
tries the script out where there is no GPU; its figures say nothing about one.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Report
from sklearn.datasets import load_digits
from torch import nn

from perceptron.engines.torch_devices import Replayed
from perceptron.engines.torch_layout import batch_sizes
from perceptron.engines.torch_rules import SLOTS
from perceptron.engines.torch_stack import StackedNetworks
from perceptron.gates import NAMED_TABLES
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig

FLEETS = (1, 64, 1_024, 16_384, 131_072)
TOGETHER = 100
"""Epochs from one record to the next, of as many as the slides train."""
WARM_UP_EPOCHS = 3
"""Enough for every graph to be captured."""
EPOCHS = 1_000_000
"""More than are timed."""
NUMBER_BYTES = 4


class Work(NamedTuple):
    """Networks of one shape on one table."""

    name: str
    rows: Table
    network: NetworkConfig
    training: TrainingConfig
    networks: int


class Limits(NamedTuple):
    """What the device can do at best."""

    replays: float
    """Graphs of one operation on one number, per second."""
    bytes: float
    """Bytes that a copy reads and writes, per second."""
    operations: float
    """Multiplications and additions of float32 in a large product of matrices, per second."""


def all_work() -> list[Work]:
    """List the slides' XOR, narrow and deep, in fleets, and one wider case."""
    truth = NAMED_TABLES["xor"]
    xor = Table("xor", ("x1", "x2"), truth.features, truth.targets)
    plain = TrainingConfig(epochs=EPOCHS)
    shapes = {"XOR 2-2-1": (2,), "XOR 2-10-10-10-1": (10, 10, 10)}
    found = load_digits()
    names = tuple(map(str, range(64)))
    images = (found.data / 16).astype(np.float32)
    digits = Table("digits", names, images, found.target.astype(np.float32), "multiclass", 10)
    adam = TrainingConfig(optimizer="adam", learning_rate=0.001, batch_size=200, epochs=EPOCHS)
    wide = NetworkConfig(hidden_layers=(64,), activation="relu")
    return [
        *(
            Work(name, xor, NetworkConfig(hidden_layers=hidden), plain, networks)
            for name, hidden in shapes.items()
            for networks in FLEETS
        ),
        Work("digits 64-64-10, Adam, batch 200", digits, wide, adam, 64),
    ]


def ours(work: Work, device: str, seconds: float) -> float:
    """Train the fleet; network-epochs per second."""
    trainings = [work.training.model_copy(update={"seed": seed}) for seed in range(work.networks)]
    networks = StackedNetworks(work.network, trainings, work.rows, None, device=device)

    def train() -> None:
        networks.train(TOGETHER, is_recorded=False)

    return work.networks * TOGETHER * rate(train, device, seconds)


def plain_pytorch(work: Work, device: str, seconds: float) -> float:
    """Train one network as the slides write it, its rows on the device; epochs per second."""
    torch.manual_seed(work.training.seed)
    activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}[work.network.activation]
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(
        work.network.widths(work.rows.features.shape[1], work.rows.outputs)
    ):
        modules += [nn.Linear(inputs, outputs), activation()]
    model = nn.Sequential(*modules[:-1]).to(device)
    rules: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = rules[work.training.optimizer](model.parameters(), lr=work.training.learning_rate)
    is_binary = work.rows.task == "binary"
    criterion = nn.BCEWithLogitsLoss() if is_binary else nn.CrossEntropyLoss()
    features = torch.tensor(work.rows.features, device=device)
    targets = torch.tensor(work.rows.targets, device=device)
    targets = targets[:, None] if is_binary else targets.long()
    size = work.training.batch_size

    def train() -> None:
        order: list[Any] = [slice(None)]
        if size:
            order = list(torch.split(torch.randperm(len(targets), device=device), size))
        for batch in order:
            optimizer.zero_grad()
            loss = criterion(model(features[batch]), targets[batch])
            loss.backward()
            optimizer.step()

    return rate(train, device, seconds)


def rate(work: Callable[[], object], device: str, seconds: float) -> float:
    """Repeat work for some seconds after a warm-up; times per second, the device's end included."""
    for _ in range(WARM_UP_EPOCHS):
        work()
    wait(device)
    count = 1
    while True:
        began = time.perf_counter()
        for _ in range(count):
            work()
        wait(device)
        taken = time.perf_counter() - began
        if taken >= seconds / 2:
            return count / taken
        count = min(4 * count, int(count * seconds / max(taken, 1e-9)) + 1)


def wait(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def limits(device: str, seconds: float) -> Limits:
    """Measure what the device can do at best."""
    number = torch.zeros(1, device=device)

    def add() -> None:
        number.add_(1.0)

    replay = Replayed(device)
    source = torch.zeros(2**26 if device == "cpu" else 2**28, device=device)
    target = torch.empty_like(source)
    copies = rate(lambda: target.copy_(source), device, seconds)
    size = 256 if device == "cpu" else 8_192
    left, right = torch.rand(2, size, size, device=device)
    product = torch.empty_like(left)
    products = rate(lambda: torch.mm(left, right, out=product), device, seconds)
    return Limits(
        rate(lambda: replay(add), device, seconds),
        2 * NUMBER_BYTES * source.numel() * copies,
        2 * size**3 * products,
    )


def least_bytes(work: Work) -> int:
    """
    Count what one step must move if nothing stays in a cache but the values between layers.

    Parameters and what the optimizer remembers are read and written, the batch's rows are read:
    once for all networks with a full batch, once for each where it is shuffled.
    """
    inputs: int = work.rows.features.shape[1]
    parameters = work.network.parameter_count(inputs, work.rows.outputs)
    numbers = work.networks * parameters * 2 * (1 + len(SLOTS[work.training.optimizer]))
    sizes = batch_sizes(work.training, len(work.rows.targets))
    readers = 1 if len(sizes) == 1 else work.networks
    rows = sizes[0] * readers
    return NUMBER_BYTES * (numbers + rows * (inputs + 1))


def least_operations(work: Work) -> int:
    """Count the multiplications and additions of an epoch's products, forward and backward."""
    inputs: int = work.rows.features.shape[1]
    parameters = work.network.parameter_count(inputs, work.rows.outputs)
    return 6 * len(work.rows.targets) * parameters


def measure(work: Work, device: str, seconds: float, best: Limits) -> dict[str, Any]:
    """Time the fleet and the plain loop, and compare both with the limits."""
    fleet = ours(work, device, seconds)
    plain = plain_pytorch(work, device, seconds)
    steps = fleet / work.networks * len(batch_sizes(work.training, len(work.rows.targets)))
    return {
        "work": work.name,
        "networks": work.networks,
        "network_epochs_per_second": fleet,
        "pytorch_network_epochs_per_second": plain,
        "ratio": fleet / plain,
        "share_of_launch_limit": steps / best.replays,
        "share_of_memory_limit": steps * least_bytes(work) / best.bytes,
        "share_of_arithmetic_limit": fleet * least_operations(work) / best.operations,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--device", help="cuda (the default), cuda:N or cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure; default 2")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args()


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    given = arguments()
    console = Console(width=120)
    device = given.device or "cuda"
    if device != "cpu" and not torch.cuda.is_available():
        console.print("There is no CUDA device here: nothing was timed.")
        return
    name = "the CPU, which says nothing about a GPU"
    if device != "cpu":
        name = torch.cuda.get_device_name(device)
    best = limits(device, given.seconds)
    console.print(
        f"On {name}, PyTorch {torch.__version__}: at most {best.replays:,.0f} replays/s and "
        f"{best.bytes / 1e9:,.0f} GB/s, {best.operations / 1e12:,.1f} TFLOP/s"
    )
    report = Report(
        "work", "networks", "network-epochs/s", "× PyTorch", "of launches", "of memory", "of flops"
    )
    found = []
    for work in all_work():
        row = measure(work, device, given.seconds, best)
        found.append(row)
        report.add_row(
            work.name,
            f"{work.networks:,}",
            f"{row['network_epochs_per_second']:,.0f}",
            f"{row['ratio']:,.1f}",
            f"{row['share_of_launch_limit']:.0%}",
            f"{row['share_of_memory_limit']:.0%}",
            f"{row['share_of_arithmetic_limit']:.0%}",
        )
    console.print(report)
    machine = {"device": name, "torch": torch.__version__, "limits": best._asdict()}
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "results": found}, indent=2))


if __name__ == "__main__":
    main()
