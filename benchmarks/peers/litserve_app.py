"""The network behind LitServe: two workers and as many API servers, which is its default."""

import sys
from typing import Any

import litserve
import network


class Xor(litserve.LitAPI):
    """Reads rows, predicts, answers."""

    def setup(self, device: str) -> None:
        """Load the network in its worker."""
        del device  # the CPU
        self.model = network.load()

    def decode_request(self, request: dict[str, Any]) -> list[list[float]]:
        """Take the rows out of the body."""
        return request["inputs"]

    def predict(self, x: list[list[float]]) -> dict[str, list[float]]:
        """Predict the class of every row, with its probability."""
        return network.answer(self.model, x)

    def encode_response(self, output: dict[str, list[float]]) -> dict[str, list[float]]:
        """Answer as it is."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Xor(), accelerator="cpu", workers_per_device=2)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )
