"""Trainings in which everything counts that a checkpoint holds."""

from collections.abc import Sequence
from typing import Any


def shuffled_training(
    optimizer: str, engine: str, epochs: int, hidden_layers: Sequence[int], **more: Any
) -> dict[str, Any]:
    """Shuffled batches: weights, what the optimizer remembers, steps and the generator count."""
    return {
        "dataset": "parity-3",
        "network": {"hidden_layers": list(hidden_layers), "activation": "tanh"},
        "training": {
            "optimizer": optimizer,
            "schedule": {"kind": "cosine"},
            "epochs": epochs,
            "batch_size": 3,
            "seed": 11,
            "record_every": epochs // 50,
            "engine": engine,
            **more,
        },
    }
