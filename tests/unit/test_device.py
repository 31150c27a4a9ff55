"""The word for where a job runs: which there are, and the queue that each waits in."""

import re

import pytest
from pydantic import ValidationError

from schemas.training import TrainingConfig
from storage.jobs import queue_of


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", *(f"cuda:{n}" for n in range(64))])
def test_every_device_waits_in_its_queue(device: str) -> None:
    """Every GPU by its number is taken, and its jobs wait for workers of the queue `gpu`."""
    training = TrainingConfig(device=device)
    assert training.device == device
    assert queue_of(training) == ("gpu" if device[:4] == "cuda" else "train")


@pytest.mark.parametrize(
    "device",
    ["cuda:99x", "cuda:64", "cuda:-1", "cuda:", "cuda:01", "cuda: 1", "cuda\n", "CUDA", "gpu", ""],
)
def test_other_words_are_refused_once(device: str) -> None:
    """Anything else is one error, at the field."""
    with pytest.raises(ValidationError) as caught:
        TrainingConfig(device=device)
    (error,) = caught.value.errors()
    assert error["loc"] == ("device",)
    assert error["type"] == "string_pattern_mismatch"


def test_the_schema_says_which_there_are() -> None:
    """The JSON schema has a pattern that a client's own check can use, and examples of it."""
    schema = TrainingConfig.model_json_schema()["properties"]["device"]
    assert schema["type"] == "string"
    for word in (*schema["examples"], schema["default"], "cuda:63"):
        assert re.search(schema["pattern"], word)
    assert not re.search(schema["pattern"], "cuda:64")
