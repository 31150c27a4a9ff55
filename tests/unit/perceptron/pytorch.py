"""PyTorch's own modules, optimizers and schedulers, by our names: what ours are checked against."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from perceptron.tables import Table
from schemas.network import NetworkConfig, Task
from schemas.training import CosineSchedule, Optimizer, StepSchedule, TrainingConfig

MODULES: Mapping[str, nn.Module] = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "gelu": nn.GELU(),
    "identity": nn.Identity(),
}
"""Every activation that can be trained."""

RULES: Mapping[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}
"""Every update rule."""

LOSSES: Mapping[Task, nn.Module] = {
    "binary": nn.BCEWithLogitsLoss(reduction="none"),
    "multiclass": nn.CrossEntropyLoss(reduction="none"),
    "regression": nn.MSELoss(reduction="none"),
}
"""The loss of each row, from the outputs before their activation."""


class PlainTraining(NamedTuple):
    """What the plain loop went through."""

    losses: list[float]
    """Mean loss of each epoch's rows, each before its batch's update."""
    accuracies: list[float]
    """Share of the rows right, in the same passes; of no meaning for a regression."""
    model: nn.Sequential
    """The trained network; its output is before the sigmoid or softmax."""


def train_plainly(network: NetworkConfig, training: TrainingConfig, train: Table) -> PlainTraining:
    """Train as a user of PyTorch writes it: modules, a criterion, an optimizer, a scheduler."""
    torch.manual_seed(training.seed)
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(network.widths(train.features.shape[1], train.outputs)):
        modules += [nn.Linear(inputs, outputs), MODULES[network.activation]]
    model = nn.Sequential(*modules[:-1])
    optimizer = RULES[training.optimizer](
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    scheduler = _scheduler(training, optimizer)
    X, y, weights = _tensors(train)  # noqa: N806
    losses, accuracies = [], []
    for order in _orders(training, len(y)):
        loss, right = 0.0, 0
        for batch in order:
            optimizer.zero_grad()
            outputs = model(X[batch]).squeeze(1)
            row_losses = LOSSES[train.task](outputs, y[batch]) * weights[batch]
            sizes = sum(part.abs().sum() for part in model.parameters())
            (row_losses.mean() + training.l1_penalty * sizes).backward()
            optimizer.step()
            loss += row_losses.sum().item()
            right += int((_classes(train.task, outputs) == y[batch]).sum())
        if scheduler is not None:
            scheduler.step()
        losses.append(loss / len(y))
        accuracies.append(right / len(y))
    return PlainTraining(losses, accuracies, model)


def _tensors(train: Table) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.tensor(train.targets)
    weights = torch.ones(len(y)) if train.weights is None else torch.tensor(train.weights)
    return torch.tensor(train.features), y.long() if train.task == "multiclass" else y, weights


def _classes(task: Task, outputs: Tensor) -> Tensor:
    return outputs.argmax(1) if task == "multiclass" else (outputs > 0).float()


def _orders(training: TrainingConfig, rows: int) -> Iterator[list[Any]]:
    """Give each epoch's batches: all rows as they are, or shuffled by the training's seed."""
    generator = torch.Generator().manual_seed(training.seed)
    for _ in range(training.epochs):
        if training.batch_size is None:
            yield [slice(None)]
        else:
            order = torch.randperm(rows, generator=generator)
            yield list(torch.split(order, training.batch_size))


def _scheduler(
    training: TrainingConfig, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    schedule = training.schedule
    if isinstance(schedule, StepSchedule):
        return torch.optim.lr_scheduler.StepLR(
            optimizer, schedule.every_epochs, gamma=schedule.factor
        )
    if isinstance(schedule, CosineSchedule):
        return torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, training.epochs, eta_min=schedule.minimum
        )
    return None
