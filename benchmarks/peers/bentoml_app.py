"""The network behind BentoML, in the event loop of each of two workers."""

import bentoml
import network


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Xor:
    """Predicts rows."""

    def __init__(self) -> None:
        self.model = network.load()

    @bentoml.api
    async def predict(self, model: str, inputs: list[list[float]]) -> dict[str, list[float]]:
        """Predict the class of every row, with its probability."""
        del model  # there is one
        return network.answer(self.model, inputs)
