"""A network's functions in PyTorch: activations and losses, with their derivatives."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gelu,
    leaky_relu,
    mse_loss,
)

from perceptron.inference import LEAKY_SLOPE
from schemas.network import Activation, Task

ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": leaky_relu,
    "gelu": gelu,
    "identity": lambda z: z,
}

_of_machine = torch.ops.aten
"""The derivatives that PyTorch's own backward pass takes, each one pass over the numbers."""

DERIVATIVES: Mapping[Activation, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda gradient, _, value: _of_machine.sigmoid_backward(gradient, value),
    "tanh": lambda gradient, _, value: _of_machine.tanh_backward(gradient, value),
    "relu": lambda gradient, z, _: _of_machine.threshold_backward(gradient, z, 0.0),
    "leaky_relu": lambda gradient, z, _: _of_machine.leaky_relu_backward(
        gradient, z, LEAKY_SLOPE, self_is_result=False
    ),
    "gelu": lambda gradient, z, _: _of_machine.gelu_backward(gradient, z),
    "identity": lambda gradient, *_: gradient,
}
"""∂L/∂z from ∂L/∂a, z and a, for a = activation(z)."""


def row_losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """
    Compute each row's loss: cross-entropy (binary, categorical), or the squared error.

    `outputs` are those of the last layer before its sigmoid or softmax.
    Shapes: outputs (…, rows, units), targets (…, rows) → (…, rows).
    """
    if task == "multiclass":
        flat = outputs.flatten(0, -2), targets.flatten()
        return cross_entropy(*flat, reduction="none").view(targets.shape)
    loss = binary_cross_entropy_with_logits if task == "binary" else mse_loss
    return loss(outputs.squeeze(-1), targets, reduction="none")


def output_gradients(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """
    Differentiate `row_losses` with respect to the outputs.

    Shapes: as there → (…, rows, units).
    """
    aim = targets.unsqueeze(-1)
    if task == "binary":
        return torch.sigmoid(outputs).sub_(aim)
    if task == "regression":
        return (outputs - aim).mul_(2.0)
    shares = torch.softmax(outputs, -1)
    return shares.scatter_(-1, aim, shares.gather(-1, aim) - 1.0)


def are_right(task: Task, outputs: Tensor, targets: Tensor) -> Tensor | None:
    """
    Say which rows are classified right; None for a regression.

    A binary output is judged by probability > 0.5, as the slides do: a tiny positive z has
    probability 0.5. Shapes: as in `row_losses`.
    """
    if task == "regression":
        return None
    if task == "binary":
        return (torch.sigmoid(outputs.squeeze(-1)) > 0.5) == (targets > 0.5)
    return outputs.argmax(-1) == targets
