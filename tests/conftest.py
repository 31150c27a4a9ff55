"""Fixtures that start the real thing, and how tests are shared out to processes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployment import Deployment

LONGEST = (
    "tests/unit/perceptron/test_compiling.py",
    "tests/acceptance/test_faults.py::test_kills",
    "tests/acceptance/test_checkpoints.py",
    "tests/acceptance/test_open_inference.py",
    "tests/browser/",
    "tests/acceptance/",
    "tests/integration/",
    "tests/",
)
"""Starts of the tests' names, those that take longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name what runs in one process, in the order in which processes take it: the longest first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_turn)


def _group(item: pytest.Item) -> str:
    """
    Tests of one file share its fixtures; one that starts deployments of its own stands alone.

    Those in a browser stay with their file, with a deployment beside it: they take long together.
    """
    fixtures: list[str] = getattr(item, "fixturenames", [])
    if "deployment" in fixtures and "browser" not in fixtures:
        return "deployment"
    alone = "new_deployment" in fixtures and "browser" not in fixtures and not _shares(item)
    return item.nodeid if alone else item.nodeid.partition("::")[0]


def _shares(item: pytest.Item) -> bool:
    """Whether a test has fixtures that it shares with others of its file."""
    found = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]  # noqa: SLF001
    return any(one[-1].scope == "module" for one in found if one)


def _turn(item: pytest.Item) -> int:
    return next(turn for turn, start in enumerate(LONGEST) if item.nodeid.startswith(start))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for every test that harms nothing."""
    started = Deployment(tmp_path_factory.mktemp("shared") / "data", "--workers", "2").start()
    yield started
    started.stop()


@pytest.fixture
def new_deployment(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Start deployments of the test's own; every one is ended with the test."""
    started: list[Deployment] = []

    def start(*arguments: str, name: str = "data", **settings: str) -> Deployment:
        made = Deployment(tmp_path / name, *arguments, settings=settings)
        started.append(made)
        return made.start()

    yield start
    for made in started:
        if made.process and made.process.poll() is None:
            made.stop()
