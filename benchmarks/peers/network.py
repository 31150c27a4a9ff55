"""The network as a user of PyTorch serves it: weights from safetensors, one thread per worker."""

import os

import torch
from safetensors.torch import load_file

torch.set_num_threads(1)  # two workers are what two cores have room for


def load() -> torch.nn.Sequential:
    """Read the layers from the file that WEIGHTS names; a sigmoid follows each."""
    tensors = load_file(os.environ["WEIGHTS"])
    modules: list[torch.nn.Module] = []
    for index in range(len(tensors) // 2):
        weight, bias = (tensors[f"layers.{index}.{name}"] for name in ("weight", "bias"))
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        modules += [linear, torch.nn.Sigmoid()]
    return torch.nn.Sequential(*modules).eval()


@torch.inference_mode()
def answer(network: torch.nn.Sequential, inputs: list[list[float]]) -> dict[str, list[float]]:
    """Predict every row, with its probability."""
    probabilities = network(torch.tensor(inputs, dtype=torch.float32))[:, 0]
    return {
        "predictions": (probabilities > 0.5).int().tolist(),
        "probabilities": probabilities.tolist(),
    }
