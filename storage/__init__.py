"""Everything durable, and the doorbell: opened once per process, connected at first use."""

from dataclasses import dataclass

from schemas.settings import Settings
from storage.census import CensusStore
from storage.database import Database
from storage.datasets import DatasetStore
from storage.jobs import JobStore
from storage.leases import LeaseStore
from storage.models import ModelRegistry
from storage.notices import Notices
from storage.predictions import PredictionStore
from storage.queue import Doorbell
from storage.results import ResultStore
from storage.sweeps import SweepStore


@dataclass(frozen=True)
class Storage:
    """What a process needs to reach the truth and to ring."""

    database: Database
    jobs: JobStore
    leases: LeaseStore
    models: ModelRegistry
    datasets: DatasetStore
    sweeps: SweepStore
    results: ResultStore
    predictions: PredictionStore
    census: CensusStore
    doorbell: Doorbell
    notices: Notices


def open_storage(settings: Settings, *, pooled: bool = True) -> Storage:
    """Bring the parts together; nothing connects yet."""
    database = Database(settings.database_location, pooled=pooled)
    notices = Notices(settings)
    return Storage(
        database=database,
        jobs=JobStore(database),
        leases=LeaseStore(database, settings, notices),
        models=ModelRegistry(database, notices),
        datasets=DatasetStore(database),
        sweeps=SweepStore(database),
        results=ResultStore(database),
        predictions=PredictionStore(database),
        census=CensusStore(database),
        doorbell=Doorbell(settings),
        notices=notices,
    )
