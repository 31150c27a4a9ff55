"""What runs a deployment, once its libraries are loaded."""

import http.client

import click

from cli import bundled
from perceptron import layers
from perceptron.gates import BUILT_IN_MODELS
from schemas.model import ModelCard
from schemas.settings import Settings
from storage import open_storage
from storage.embedded_valkey import EmbeddedValkey
from storage.logs import configure_logging
from storage.migrations import migrate
from storage.models import Publication
from workers.children import Children
from workers.supervisor import Supervisor


def run(settings: Settings, children: Children, url: str) -> None:
    """Let in the API that is loading, and run everything else, until a signal."""
    configure_logging(settings)
    valkey = EmbeddedValkey(settings) if settings.valkey_url is None else None
    supervisor = Supervisor(settings, children, valkey)
    prepare(settings)
    children.let_in()

    def announce() -> None:
        supervisor.add_workers(settings.workers)  # they take both cores to load: the API was first
        click.echo(f"perceptron is ready at {url}")

    supervisor.run(lambda: _is_ready(url), announce)


def run_workers(settings: Settings) -> None:
    """Run queue workers alone, until a signal."""
    configure_logging(settings)
    with Children() as children:
        supervisor = Supervisor(settings, children)
        supervisor.add_workers(settings.workers)
        supervisor.run()


def prepare(settings: Settings) -> None:
    """Bring the database to this version's schema, and store the built-in models and datasets."""
    migrate(settings.database_location)
    stored = open_storage(settings, pooled=False)
    for name, found in BUILT_IN_MODELS.items():
        card = ModelCard(
            hyperparameters=None,
            parameters=layers.parameter_counts(found),
            feature_names=("x1", "x2"),
            dataset=name,
            dataset_sha256=None,
            job_id=None,
            engine=None,
            device=None,
            library_versions={},
            metrics=None,
            diagnosis=None,
        )
        stored.models.install_built_in(Publication(name, layers.to_bytes(found), card))
    bundled.install(stored.datasets)


def _is_ready(url: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
