"""Fixtures that start the real thing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployment import Deployment


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
