"""The plain PyTorch loop of the slides: forward, loss, backward, step."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch._dynamo  # the optimizers import it on first use; here a forked worker inherits it
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    gelu,
    leaky_relu,
    linear,
)

from perceptron.datasets import Table
from perceptron.engines import YIELD_SECONDS, Step
from perceptron.initialisation import initial_layers
from perceptron.layers import Layer, Layers
from schemas.errors import DeviceUnavailable, Diverged
from schemas.network import Activation, NetworkConfig
from schemas.training import Device, EpochRecord, Optimizer, TrainingConfig

SMALL_WORK = 2_000_000
"""Multiplications of one step below which a second thread costs more than it gains."""

VALIDATION_ROWS = 4_096
"""Fewest rows that validation takes at a time; more only where a step does."""

_ALL_THREADS = torch.get_num_threads()

_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": leaky_relu,
    "gelu": gelu,
    "identity": lambda z: z,
}

_OPTIMIZERS: Mapping[Optimizer, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
}


class _Rows(NamedTuple):
    """Rows on the device."""

    features: Tensor
    """Shape (rows, features)."""
    targets: Tensor
    """Shape (rows,)."""


class _Score(NamedTuple):
    """Sums over rows, still on the device."""

    loss: Tensor
    correct: Tensor


class TorchTraining:
    """One network and its optimizer; the interface is `perceptron.engines.Training`."""

    engine: str = "torch"

    def __init__(
        self, network: NetworkConfig, training: TrainingConfig, train: Table, valid: Table | None
    ) -> None:
        self.device: str = _device(training.device)
        self._training = training
        self._train = _rows(train, self.device)
        self._valid = None if valid is None else _rows(valid, self.device)
        widths = network.widths(train.features.shape[1])
        self._initial = initial_layers(widths, network.activation, training.seed)
        self._parameters = _parameters(self._initial, self.device)
        self._activation = _ACTIVATIONS[network.activation]
        self._optimizer = _optimizer(training, self._parameters)
        self._shuffle = torch.Generator().manual_seed(training.seed)
        self._batch_size = min(training.batch_size or len(train.targets), len(train.targets))
        work = self._batch_size * network.parameter_count(widths[0])
        self._threads = 1 if work < SMALL_WORK else _ALL_THREADS

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        torch.set_num_threads(self._threads)
        last = self._training.epochs - 1
        interval = self._training.record_interval
        yield_at = time.monotonic() + YIELD_SECONDS
        for epoch in range(self._training.epochs):
            record = None
            if epoch % interval == 0 or epoch == last:
                record = self._recorded_epoch(epoch, last)
            else:
                for batch in self._batches():
                    self._step(batch)
            if record is not None or time.monotonic() >= yield_at:
                yield Step(epoch + 1, record)
                yield_at = time.monotonic() + YIELD_SECONDS

    def layers(self) -> Layers:
        """Copy the weights; see `Training.layers`."""
        values = [parameter.detach().cpu().numpy().copy() for parameter in self._parameters]
        return tuple(
            Layer(weight, bias, layer.activation)
            for weight, bias, layer in zip(values[::2], values[1::2], self._initial, strict=True)
        )

    def _recorded_epoch(self, epoch: int, last: int) -> EpochRecord:
        scores = [_score(self._step(batch), batch.targets) for batch in self._batches()]
        train_loss, train_accuracy = _means(scores, len(self._train.targets))
        valid_loss, valid_accuracy = self._validate()
        finite = math.isfinite(train_loss) and math.isfinite(valid_loss or 0.0)
        if not finite or (epoch == last and not self._is_finite()):
            raise Diverged(epoch)
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            valid_loss=valid_loss,
            valid_accuracy=valid_accuracy,
        )

    def _step(self, batch: _Rows) -> Tensor:
        """Update once; return the logits from before it. Shape (rows,)."""
        logits = self._logits(batch.features)
        loss = binary_cross_entropy_with_logits(logits, batch.targets)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return logits.detach()

    def _logits(self, values: Tensor) -> Tensor:
        """Compute z of the output unit, whose sigmoid is the probability. Shape (rows,)."""
        *hidden, weight, bias = self._parameters
        for index in range(0, len(hidden), 2):
            values = self._activation(linear(values, hidden[index], hidden[index + 1]))
        return linear(values, weight, bias).squeeze(1)

    def _batches(self) -> Iterator[_Rows]:
        rows = len(self._train.targets)
        if self._batch_size == rows:
            yield self._train
            return
        order = torch.randperm(rows, generator=self._shuffle).to(self.device)
        for chosen in torch.split(order, self._batch_size):
            yield _Rows(self._train.features[chosen], self._train.targets[chosen])

    def _validate(self) -> tuple[float, float] | tuple[None, None]:
        if self._valid is None:
            return None, None
        size = max(self._batch_size, VALIDATION_ROWS)
        parts = zip(*(torch.split(values, size) for values in self._valid), strict=True)
        with torch.no_grad():
            scores = [_score(self._logits(features), targets) for features, targets in parts]
        return _means(scores, len(self._valid.targets))

    def _is_finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self._parameters)


def _device(asked: Device) -> str:
    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise DeviceUnavailable("this worker has no CUDA device: ask for `cpu` or `auto`")
    return "cuda" if available and asked != "cpu" else "cpu"


def _rows(table: Table, device: str) -> _Rows:
    return _Rows(
        torch.tensor(table.features, device=device), torch.tensor(table.targets, device=device)
    )


def _parameters(layers: Layers, device: str) -> list[Tensor]:
    """Weight and bias of each layer in turn."""
    return [
        torch.tensor(values, device=device, requires_grad=True)
        for layer in layers
        for values in (layer.weight, layer.bias)
    ]


def _optimizer(training: TrainingConfig, parameters: list[Tensor]) -> torch.optim.Optimizer:
    optimizer, options = _OPTIMIZERS[training.optimizer]
    return optimizer(
        parameters, lr=training.learning_rate, weight_decay=training.weight_decay, **options
    )


def _score(logits: Tensor, targets: Tensor) -> _Score:
    """Judge by probability > 0.5 as the slides do: a tiny positive z has probability 0.5."""
    predicted = torch.sigmoid(logits) > 0.5
    return _Score(
        binary_cross_entropy_with_logits(logits, targets, reduction="sum"),
        (predicted == (targets > 0.5)).sum(),
    )


def _means(scores: Sequence[_Score], rows: int) -> tuple[float, float]:
    """Mean loss and accuracy; waits for the device."""
    losses = torch.stack([score.loss for score in scores])
    correct = torch.stack([score.correct for score in scores])
    return float(losses.sum()) / rows, int(correct.sum()) / rows
