"""How much memory the API takes."""

from collections.abc import Callable

import psutil

from tests.deployment import Deployment

LIMIT_BYTES = 90 * 2**20


def test_api_memory(new_deployment: Callable[..., Deployment]) -> None:
    """After 1,000 predictions every API process is within 90 MB of resident memory."""
    deployment = new_deployment()
    for _ in range(1_000):
        response = deployment.post("/predict", {"model": "xor", "inputs": [[0, 1]]})
        assert response.status_code == 200
    workers = [pid for pid in deployment.pids("service") if pid != deployment.api_master]
    assert workers
    for pid in workers:
        assert psutil.Process(pid).memory_info().rss <= LIMIT_BYTES
