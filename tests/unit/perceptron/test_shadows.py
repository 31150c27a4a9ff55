"""On how many rows two versions agree."""

import numpy as np

from perceptron.shadows import TOLERANCE, agreed_rows
from schemas.preprocessing import Label, Target


def target(task: str, *classes: Label) -> Target:
    """Say what is predicted."""
    return Target.model_validate({"name": "y", "task": task, "classes": classes or None})


BINARY = target("binary", 0, 1)
COLOURS = target("multiclass", "blue", "green", "red")


def test_classes() -> None:
    """Of two classes the side of one half counts, not the probability."""
    outputs, shadow = np.array([0.1, 0.9, 0.4, 0.6]), np.array([0.4, 0.6, 0.6, 0.5])
    assert agreed_rows(BINARY, outputs, BINARY, shadow) == 2


def test_classes_by_their_labels() -> None:
    """Versions may number their classes in different ways, and know different ones."""
    other = target("multiclass", "red", "blue", "black", "green")
    says_blue_green_red = np.eye(3)
    says_blue_green_black = np.array([[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0.0]])
    assert agreed_rows(COLOURS, says_blue_green_red, other, says_blue_green_black) == 2
    assert agreed_rows(other, says_blue_green_black, COLOURS, says_blue_green_red) == 2


def test_two_classes_beside_three() -> None:
    """A network with one output may stand beside one with three."""
    two = target("binary", "blue", "red")
    three = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    assert agreed_rows(two, np.array([0.2, 0.9, 0.9]), COLOURS, three) == 2


def test_numbers() -> None:
    """Numbers agree within the tolerance, absolute or relative."""
    number = target("regression")
    outputs = np.array([0.0, 1.0, 1e6, 1e6, 0.0])
    shadow = np.array([TOLERANCE / 2, 1 + 3 * TOLERANCE, 1e6 + 5, 1e6 + 50, 1.0])
    assert agreed_rows(number, outputs, number, shadow) == 2


def test_a_number_is_no_class() -> None:
    """Of a class and a number nothing is the same."""
    assert agreed_rows(BINARY, np.array([1.0]), target("regression"), np.array([1.0])) == 0
