"""What deploy/compose_test.sh checks of the running containers; prints a table, exits 1 on a failure."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

XOR = {"dataset": "xor", "network": {"hidden_layers": [10, 10, 10], "activation": "sigmoid"}}
SHORT = XOR | {"training": {"epochs": 10_001}, "model": "compose-xor"}
# The plain PyTorch loop, so that there is time to kill its worker.
LONG = XOR | {"training": {"epochs": 100_000, "engine": "torch"}, "model": "compose-killed"}
ROWS = [[0, 0], [0, 1], [1, 0], [1, 1]]
FINAL = ("succeeded", "failed", "cancelled")


class Checks:
    """Collects what was seen, and says whether all of it was as claimed."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, bool]] = []

    def see(self, claim: str, seen: object, holds: bool) -> None:
        """Note one observation, and print it at once."""
        self._rows.append((claim, str(seen), holds))
        print(f"   {claim}: {seen}{'' if holds else '   <-- NOT AS CLAIMED'}", flush=True)

    def print_table(self) -> None:
        """Print everything that was seen."""
        width = max(len(claim) for claim, _, _ in self._rows)
        print()
        for claim, seen, holds in self._rows:
            print(f"{'ok  ' if holds else 'FAIL'}  {claim:<{width}}  {seen}")

    @property
    def hold(self) -> bool:
        """Whether every observation was as claimed."""
        return all(holds for _, _, holds in self._rows)


class Api:
    """The service's published port."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, path: str, body: object = None) -> Any:
        """GET, or POST where there is a body; the answer's JSON. Raises: HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))
            raise

    def job(self, job_id: str) -> Any:
        """Report a job."""
        return self.call(f"/jobs/{job_id}")

    def wait(self, job_id: str, condition: Callable[[Any], bool], seconds: float) -> Any:
        """Wait until a job meets a condition, or has ended. Raises: TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if condition(job) or job["status"] in FINAL:
                return job
            time.sleep(0.2)
        raise TimeoutError(f"after {seconds} s the job is still {job['status']}: {job}")

    def events(self, job_id: str) -> list[Any]:
        """List what happened to a job, without the points of its curves."""
        found = self.call(f"/jobs/{job_id}/events?limit=1000")["data"]
        return [event for event in found if event["type"] != "epochs"]

    def versions(self, model: str) -> list[Any]:
        """List a model's versions."""
        return list(self.call(f"/models/{model}/versions")["data"])


def docker(*arguments: str) -> str:
    """Run docker; what it printed. Raises: CalledProcessError."""
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def check_hardening(checks: Checks) -> None:
    """Look at what every container of the project may do."""
    label = f"label=com.docker.compose.project={os.environ['COMPOSE_PROJECT_NAME']}"
    containers = json.loads(docker("inspect", *docker("ps", "--quiet", "--filter", label).split()))
    hosts = [container["HostConfig"] for container in containers]
    users = {container["Config"]["User"] for container in containers}
    addresses = {
        binding["HostIp"]
        for host in hosts
        for bindings in (host["PortBindings"] or {}).values()
        for binding in bindings
    }
    checks.see("no container runs as root", sorted(users), users.isdisjoint({"", "0", "root"}))
    checks.see(
        "every root file system is read-only",
        len(hosts),
        all(host["ReadonlyRootfs"] for host in hosts),
    )
    checks.see(
        "no container has a capability",
        len(hosts),
        all(host["CapDrop"] == ["ALL"] for host in hosts),
    )
    checks.see(
        "every container is limited",
        len(hosts),
        all(host["Memory"] and host["PidsLimit"] for host in hosts),
    )
    checks.see("ports are published on loopback alone", addresses, addresses == {"127.0.0.1"})


def check_training(api: Api, checks: Checks) -> None:
    """Train XOR and ask the model for its truth table."""
    job = api.call("/jobs", SHORT)
    job = api.wait(job["id"], lambda _: False, 120)
    checks.see("XOR 2-10-10-10-1, 10,001 epochs", job["status"], job["status"] == "succeeded")
    train = (job["metrics"] or {}).get("train", {})
    checks.see("training accuracy", train.get("accuracy"), train.get("accuracy") == 1.0)
    checks.see("training loss", train.get("loss"), train.get("loss", 1) < 0.01)
    counts = train.get("confusion_matrix")
    perfect = {"true_positive": 2, "false_negative": 0, "false_positive": 0, "true_negative": 2}
    checks.see("confusion matrix", counts, counts == perfect)
    answer = api.call("/predict", {"model": "compose-xor", "inputs": ROWS})
    probabilities = [round(value, 6) for value in answer["probabilities"]]
    checks.see(
        "predictions for 00, 01, 10, 11",
        answer["predictions"],
        answer["predictions"] == [0, 1, 1, 0],
    )
    checks.see("probabilities", probabilities, len(probabilities) == len(ROWS))


def check_kernels(checks: Checks) -> None:
    """See that workers have compiled nothing: what they run is the image's machine code."""
    service = "label=com.docker.compose.service=worker"
    first, *_ = docker("ps", "--quiet", "--filter", service).split()
    differ = "diff -rq /opt/perceptron/kernels /tmp/kernels || true"
    new = docker("exec", first, "sh", "-c", differ)
    checks.see("kernels come with the image", new or "nothing compiled", not new)


def check_lost_worker(api: Api, checks: Checks) -> None:
    """SIGKILL the container that runs a job, and see the job done once all the same."""
    accepted = api.call("/jobs", LONG)
    job = api.wait(accepted["id"], lambda job: job["progress"]["epoch"] > 0, 60)
    checks.see(
        "the long job runs", f"epoch {job['progress']['epoch']:,}", job["status"] == "running"
    )
    container = _workers(api.events(job["id"]))[-1]
    docker("kill", container)
    killed_at = time.monotonic()
    state = docker(
        "inspect", "--format", "{{.State.Status}}, exit code {{.State.ExitCode}}", container
    )
    checks.see(f"container {container} is killed", state, "137" in state)

    api.wait(job["id"], lambda job: job["attempt"] > 1, 120)
    taken = time.monotonic() - killed_at
    job = api.wait(job["id"], lambda _: False, 300)
    done = time.monotonic() - killed_at
    events = api.events(job["id"])
    survivors = _workers(events)[1:]
    versions = api.versions("compose-killed")
    checks.see(
        "another worker takes the job",
        f"{survivors} after {taken:.1f} s",
        container not in survivors,
    )
    checks.see("the job ends", f"{job['status']} after {done:.1f} s", job["status"] == "succeeded")
    checks.see("attempts", job["attempt"], job["attempt"] >= 2)
    kinds = [event["type"] for event in events]
    checks.see("it succeeds once", " → ".join(kinds), kinds.count("succeeded") == 1)
    checks.see("model versions", len(versions), len(versions) == 1)
    answer = api.call("/predict", {"model": "compose-killed", "inputs": ROWS})
    checks.see("its predictions", answer["predictions"], answer["predictions"] == [0, 1, 1, 0])


def _workers(events: list[Any]) -> list[str]:
    """List the containers that started a job; a worker's name begins with its host's, the container's id."""
    return [event["data"]["worker"].split(":")[0] for event in events if event["type"] == "started"]


def main() -> int:
    """Run every check on the service at the URL that is the one argument."""
    api = Api(sys.argv[1])
    checks = Checks()
    ready = api.call("/readyz")
    checks.see("GET /readyz", ready, ready["status"] == "ok")
    check_hardening(checks)
    check_training(api, checks)
    check_kernels(checks)
    check_lost_worker(api, checks)
    checks.print_table()
    return 0 if checks.hold else 1


if __name__ == "__main__":
    sys.exit(main())
