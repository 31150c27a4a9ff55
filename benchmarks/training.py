"""
Time trainings beside plain PyTorch and scikit-learn: the same work, in turn, in one run.

    python benchmarks/training.py [--json FILE]

Every time is the best of several rounds; the rounds of all contestants are interleaved, so that a
noisy machine is noisy for all of them. What takes milliseconds is repeated in its round for a tenth
of a second, as `timeit` does.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Report
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from perceptron.engines import start
from perceptron.engines.fleet import Fleet
from perceptron.gates import NAMED_TABLES
from perceptron.tables import Table
from schemas.network import NetworkConfig, Task
from schemas.training import TrainingConfig

ROUND_SECONDS = 0.1
"""How long a contestant's training is repeated in a round, if once takes less."""


class Work(NamedTuple):
    """One training."""

    name: str
    rows: Table
    network: NetworkConfig
    training: TrainingConfig
    rounds: int


def ours(work: Work) -> float:
    """Train with the engine that `auto` chooses; returns the last record's loss."""
    training = start(work.network, work.training, work.rows, None)
    *_, last = (step.record for step in training.run() if step.record is not None)
    return last.train_loss


def plain_pytorch(work: Work) -> float:
    """Train as the slides write it, with cross-entropy for classes; the last epoch's loss."""
    training = work.training
    is_multiclass = work.rows.task == "multiclass"
    widths = work.network.widths(work.rows.features.shape[1], work.rows.outputs)
    torch.manual_seed(training.seed)
    activation = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}[work.network.activation]
    modules: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [torch.nn.Linear(inputs, outputs), activation()]
    modules[-1] = torch.nn.Identity() if is_multiclass else torch.nn.Sigmoid()
    model = torch.nn.Sequential(*modules)
    rules: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = rules[training.optimizer](model.parameters(), lr=training.learning_rate)
    criterion = torch.nn.CrossEntropyLoss() if is_multiclass else torch.nn.BCELoss()
    features = torch.tensor(work.rows.features)
    targets = torch.tensor(work.rows.targets)
    targets = targets.long() if is_multiclass else targets[:, None]
    size = training.batch_size or len(targets)
    loss = torch.tensor(0.0)
    for _ in range(training.epochs):
        batches = (
            [slice(None)] if size >= len(targets) else torch.randperm(len(targets)).split(size)
        )
        for batch in batches:
            optimizer.zero_grad()
            loss = criterion(model(features[batch]), targets[batch])
            loss.backward()
            optimizer.step()
    return loss.item()


def scikit_learn(work: Work) -> float:
    """Train scikit-learn's network for the same epochs; returns its last loss."""
    training = work.training
    classifier = MLPClassifier(
        work.network.hidden_layers,
        activation="relu",
        solver="adam",
        alpha=0.0,
        batch_size=training.batch_size,
        learning_rate_init=training.learning_rate,
        max_iter=training.epochs,
        n_iter_no_change=training.epochs,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(work.rows.features, work.rows.targets.astype(int))
    return float(classifier.loss_)


XOR = Table("xor", ("x1", "x2"), NAMED_TABLES["xor"].features, NAMED_TABLES["xor"].targets)


def xor(name: str, *hidden: int) -> Work:
    """The slides' 10,001 full-batch epochs of XOR."""
    training = TrainingConfig(epochs=10_001, seed=777)
    return Work(name, XOR, NetworkConfig(hidden_layers=hidden), training, 3)


def adam(name: str, load: Callable[[], Any], batch_size: int, *hidden: int) -> Work:
    """100 epochs of Adam on a table of scikit-learn's, with all its classes."""
    found = load()
    features = StandardScaler().fit_transform(found.data).astype(np.float32)
    names = tuple(map(str, range(features.shape[1])))
    targets, classes = found.target.astype(np.float32), len(found.target_names)
    task: Task = "multiclass" if classes > 2 else "binary"
    rows = Table(name, names, features, targets, task, classes)
    training = TrainingConfig(
        optimizer="adam", learning_rate=0.001, epochs=100, batch_size=batch_size, record_every=1
    )
    return Work(name, rows, NetworkConfig(hidden_layers=hidden, activation="relu"), training, 3)


def measure(work: Work) -> dict[str, Any]:
    """Time every contestant on one piece of work."""
    contestants = {"ours": ours, "pytorch": plain_pytorch}
    if work.training.optimizer == "adam":
        contestants["scikit-learn"] = scikit_learn
    seconds = dict.fromkeys(contestants, float("inf"))
    losses = {}
    for _ in range(work.rounds):
        for name, train in contestants.items():
            over = time.perf_counter() + ROUND_SECONDS
            while (began := time.perf_counter()) < over:
                losses[name] = train(work)
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    ratios = {name: seconds[name] / seconds["ours"] for name in contestants if name != "ours"}
    return {"work": work.name, "seconds": seconds, "losses": losses, "ratios": ratios}


def fleet(networks: int, *hidden: int) -> dict[str, Any]:
    """Train many networks on XOR, half on each of two threads; network-epochs per second."""
    shape = NetworkConfig(hidden_layers=hidden)
    trainings = [TrainingConfig(seed=seed, epochs=10_001) for seed in range(networks)]

    def train(part: Sequence[TrainingConfig]) -> int:
        members = Fleet(shape, part, XOR, None).run()
        return sum(int(member.curves[-1, 1] == 1) for member in members if member)

    train(trainings[:1])
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        learned = sum(pool.map(train, (trainings[::2], trainings[1::2])))
    seconds = time.perf_counter() - began
    rate = networks * trainings[0].epochs / seconds
    return {"networks": networks, "seconds": seconds, "rate": rate, "learned": learned}


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--json", type=Path)
    to_file = parser.parse_args().json
    ours(xor("warm-up", 2))  # compiles, or loads what is compiled
    work = (
        xor("XOR 2-1, 10,001 epochs"),
        xor("XOR 2-10-10-10-1, 10,001 epochs", 10, 10, 10),
        adam("iris (16), batch 32", load_iris, 32, 16),
        adam("breast cancer (64, 64), batch 32", load_breast_cancer, 32, 64, 64),
        adam("digits (100), batch 200", load_digits, 200, 100),
        adam("digits (64, 64), batch 32", load_digits, 32, 64, 64),
    )
    found = [measure(one) for one in work]
    report = Report("work", "ours, ms", "PyTorch, ms", "× PyTorch", "scikit-learn, ms", "× sklearn")
    for row in found:
        seconds, ratios = row["seconds"], row["ratios"]
        peer = seconds.get("scikit-learn")
        report.add_row(
            row["work"],
            f"{seconds['ours'] * 1e3:.2f}",
            f"{seconds['pytorch'] * 1e3:.1f}",
            f"{ratios['pytorch']:.0f}",
            "" if peer is None else f"{peer * 1e3:.1f}",
            "" if peer is None else f"{ratios['scikit-learn']:.1f}",
        )
    console = Console(width=110)
    console.print(report)
    many = fleet(10_000, 2)
    console.print(
        f"10,000 networks 2-2-1 on XOR, 10,001 epochs, two threads: {many['seconds']:.2f} s, "
        f"{many['rate'] / 1e6:.1f} million network-epochs/s; {many['learned']} learned it"
    )
    machine = {
        "processor": platform.processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    if to_file:
        to_file.write_text(
            json.dumps({"machine": machine, "results": found, "fleet": many}, indent=2)
        )


if __name__ == "__main__":
    main()
