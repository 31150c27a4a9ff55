"""Every domain error answers with a problem of its own kind."""

from collections.abc import Iterator

from schemas.errors import PerceptronError
from service.problems import PROBLEM_TYPES


def _tree(error: type[PerceptronError]) -> Iterator[type[PerceptronError]]:
    yield error
    for child in error.__subclasses__():
        yield from _tree(child)


def test_every_error_is_mapped() -> None:
    """No error of the tree is without a status and a code."""
    import perceptron.engines.torch_engine  # noqa: F401, PLC0415  # defines all there is
    import workers.tasks  # noqa: F401, PLC0415

    assert set(_tree(PerceptronError)) == set(PROBLEM_TYPES)
