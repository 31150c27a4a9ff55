"""The update rules of `torch.optim` for many networks at once, each with a rate of its own."""

from collections.abc import Mapping

import torch
from torch import Tensor

from schemas.training import Optimizer, TrainingConfig

SLOTS: Mapping[Optimizer, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum_buffer",),
    "nesterov": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "rmsprop": ("square_avg",),
}
"""What each rule remembers of every parameter, by the names in an optimizer's state."""

MOMENTUM = 0.9
FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
"""Adam's betas."""
SQUARES_DECAY = 0.99
"""RMSprop's alpha."""
EPSILON = 1e-8


def rate_line(training: TrainingConfig, epoch: int) -> tuple[float, float]:
    """Give an epoch's schedule as a straight line over the learning rates: its offset and slope."""
    rate, epochs = training.schedule.rate, training.epochs
    offset = rate(0.0, epoch, epochs)
    return offset, rate(1.0, epoch, epochs) - offset


class Updates:
    """
    One rule for the parameters of N networks.

    Each is what `torch.optim` computes for a network alone, in the same order of operations, but
    for factors that Python computes there in float64 and a tensor holds here in float32.
    All of it is tensors that stay where they are, so that a CUDA graph can repeat a step.
    """

    def __init__(
        self, optimizer: Optimizer, values: Tensor, rates: Tensor, decays: Tensor, penalty: float
    ) -> None:
        """
        Shapes: values (networks, parameters), rates and decays (networks, 1).

        `penalty` is the L1 penalty of all. The caller may change what `rates` holds between steps.
        """
        self._optimizer = optimizer
        self._values = values
        self._rates = rates
        self.decays = decays
        self._penalty = penalty
        self.decays_weights = bool((decays != 0).any())
        self.slots = {name: torch.zeros_like(values) for name in SLOTS[optimizer]}
        self._steps = torch.zeros((), dtype=torch.float64, device=values.device)
        self._betas = torch.tensor(
            [FIRST_DECAY, SECOND_DECAY], dtype=torch.float64, device=values.device
        )

    def restore(self, slots: Mapping[str, Tensor], steps: int) -> None:
        """Go on from what the rule remembered after some steps."""
        for name, slot in self.slots.items():
            slot.copy_(slots[name])
        self._steps.fill_(steps)

    def count(self, steps: int) -> None:
        """Count steps that somebody else made, on the same values and slots."""
        self._steps.add_(steps)

    def step(self, gradients: Tensor) -> None:
        """Update the values. `gradients` has their shape."""
        if self._penalty:
            gradients = torch.add(gradients, self._values.sign(), alpha=self._penalty)
        if self.decays_weights and self._optimizer == "adamw":
            self._values.mul_(1.0 - self._rates * self.decays)
        elif self.decays_weights:
            gradients = torch.addcmul(gradients, self._values, self.decays)
        if self._optimizer in ("adam", "adamw"):
            self._adam(gradients)
        elif self._optimizer == "rmsprop":
            self._rmsprop(gradients)
        else:
            self._descent(gradients)

    def _descent(self, gradients: Tensor) -> None:
        """Source: torch.optim.SGD, `_single_tensor_sgd`; the buffer starts at 0."""
        if self._optimizer != "sgd":
            buffer = self.slots["momentum_buffer"]
            buffer.mul_(MOMENTUM).add_(gradients)
            ahead = self._optimizer == "nesterov"
            gradients = torch.add(gradients, buffer, alpha=MOMENTUM) if ahead else buffer
        self._values.addcmul_(gradients, self._rates, value=-1.0)

    def _adam(self, gradients: Tensor) -> None:
        """Source: torch.optim.Adam, `_single_tensor_adam`."""
        means, squares = self.slots["exp_avg"], self.slots["exp_avg_sq"]
        self._steps.add_(1.0)
        means.lerp_(gradients, 1.0 - FIRST_DECAY)
        squares.mul_(SECOND_DECAY).addcmul_(gradients, gradients, value=1.0 - SECOND_DECAY)
        corrections = 1.0 - torch.pow(self._betas, self._steps)
        sizes = self._rates / corrections[0]  # (networks, 1)
        divisors = squares.sqrt().div_(corrections[1].sqrt()).add_(EPSILON)
        self._values.addcmul_(means / divisors, sizes, value=-1.0)

    def _rmsprop(self, gradients: Tensor) -> None:
        """Source: torch.optim.RMSprop, `_single_tensor_rmsprop`."""
        squares = self.slots["square_avg"]
        squares.mul_(SQUARES_DECAY).addcmul_(gradients, gradients, value=1.0 - SQUARES_DECAY)
        divisors = squares.sqrt().add_(EPSILON)
        self._values.addcmul_(gradients / divisors, self._rates, value=-1.0)
