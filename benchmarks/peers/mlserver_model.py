"""
Write the network as MLServer's scikit-learn runtime reads it.

    python mlserver_model.py WEIGHTS DIRECTORY

WEIGHTS is JSON: a list of layers, each with `weight` (a row per unit) and `bias`.
"""

import json
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.neural_network import MLPClassifier


def classifier(layers: list[dict[str, list]]) -> MLPClassifier:
    """Make a fitted classifier of these layers; a sigmoid follows each."""
    widths = tuple(len(layer["bias"]) for layer in layers[:-1])
    made = MLPClassifier(widths, activation="logistic", solver="sgd", max_iter=1)
    made.partial_fit(np.array([[0.0, 0.0], [0.0, 1.0]]), [0, 1], classes=[0, 1])
    made.coefs_ = [np.array(layer["weight"]).T for layer in layers]
    made.intercepts_ = [np.array(layer["bias"]) for layer in layers]
    return made


if __name__ == "__main__":
    directory = Path(sys.argv[2])
    joblib.dump(classifier(json.loads(Path(sys.argv[1]).read_text())), directory / "model.joblib")
    settings = {
        "name": "xor",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (directory / "model-settings.json").write_text(json.dumps(settings))
