"""Every setting of the system, read from the environment (prefix `PERCEPTRON_`)."""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
"""What a database's URL may begin with: those whose clock, locks and waits the storage knows."""
MAX_SOCKET_PATH_BYTES = 100
"""A Unix socket's path is limited to 104 bytes on macOS and 108 on Linux."""


class Settings(BaseSettings):
    """How one deployment is set up. The defaults run everything under one data directory."""

    model_config = SettingsConfigDict(
        env_prefix="PERCEPTRON_", frozen=True, use_attribute_docstrings=True, extra="ignore"
    )

    data_dir: Path = Path("perceptron-data")
    """Directory of the SQLite file and of the embedded Valkey."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL; null: SQLite under `data_dir`. PostgreSQL: `postgresql+psycopg://…`."""
    valkey_url: SecretStr | None = None
    """Valkey's URL (`redis://…` or `unix://…`); null: the embedded one under `data_dir`."""
    host: str = "127.0.0.1"
    """Address that the API listens on."""
    trusted_hosts: str | None = None
    """Hosts that the API answers as, by comma; null: on a loopback address its names, else any."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port that the API listens on; 0: any free one."""
    api_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """API processes."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Queue workers that `perceptron up` and `perceptron worker` start."""
    queue: Literal["train", "gpu"] = "train"
    """Queue that `perceptron worker` serves."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line to write."""
    log_requests: bool = False
    """Whether to write a log line for every request; those that failed (5xx) always have one."""
    max_body_bytes: Annotated[int, Field(ge=1_024)] = 10 * 1024 * 1024
    """Largest request body."""
    max_upload_bytes: Annotated[int, Field(ge=1_024)] = 64 * 1024 * 1024
    """Largest body of `POST /datasets` and `POST /predict` that is a file."""
    max_dataset_rows: Annotated[int, Field(ge=1)] = 1_000_000
    """Most rows of a stored dataset."""
    max_dataset_columns: Annotated[int, Field(ge=1, le=4_096)] = 2_000
    """Most columns of a stored dataset."""
    max_dataset_bytes: Annotated[int, Field(ge=1_024, le=512 * 1024 * 1024)] = 256 * 1024 * 1024
    """Largest stored dataset, as its values lie in memory."""
    upload_seconds: Annotated[float, Field(gt=0)] = 60
    """Longest time that reading an uploaded table, or predicting its rows, may take."""
    upload_memory_bytes: Annotated[int, Field(ge=512 * 1024 * 1024)] = 4 * 1024 * 1024 * 1024
    """Most address space of the process that reads, or predicts, an uploaded table (Linux)."""
    max_parameters: Annotated[int, Field(ge=1)] = 5_000_000
    """Largest number of weights and biases of one network."""
    max_activations: Annotated[int, Field(ge=1)] = 100_000_000
    """Most outputs of units in one step of a training: rows of a batch × units."""
    max_wait_seconds: Annotated[float, Field(ge=0)] = 60
    """Longest wait that `Prefer: wait=N` is granted."""
    max_job_seconds: Annotated[int, Field(ge=1)] = 3_600
    """Longest time that one attempt at a job may run."""
    max_attempts: Annotated[int, Field(ge=1)] = 10
    """Lost attempts (worker killed) after which a job fails."""
    lease_seconds: Annotated[float, Field(gt=0)] = 30
    """How long a worker that is not heard of keeps its job."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 5
    """Time between two checkpoints of a training that lasts so long."""
    reconcile_seconds: Annotated[float, Field(gt=0)] = 2
    """Time between two passes that expire leases and ring for waiting jobs."""
    model_cache_bytes: Annotated[int, Field(ge=0)] = 32 * 1024 * 1024
    """Most bytes of ready models that one API process keeps."""

    @field_validator("database_url")
    @classmethod
    def _is_of_a_known_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return url
        scheme, is_url, _ = url.get_secret_value().partition("://")
        if not is_url:
            raise PydanticCustomError("database", "not an SQLAlchemy URL")
        if scheme not in DATABASES:
            message = "{scheme}:// is none of sqlite:///FILE and postgresql+psycopg://…"
            raise PydanticCustomError("database", message, {"scheme": scheme})
        return url

    @property
    def database_location(self) -> str:
        """SQLAlchemy URL of the database, with the default filled in."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'perceptron.db'}"

    @property
    def valkey_location(self) -> str:
        """URL of Valkey, with the default filled in."""
        if self.valkey_url is not None:
            return self.valkey_url.get_secret_value()
        return f"unix://{self.valkey_socket}"

    @property
    def valkey_socket(self) -> Path:
        """
        Socket of the embedded Valkey, whose directory is the server's own.

        It is under `data_dir`, or under the temporary directory where that is too deep for a
        socket or has a space in its name, which Valkey's configuration cannot take.
        """
        socket = self.data_dir.resolve() / "valkey" / "valkey.sock"
        if len(bytes(socket)) <= MAX_SOCKET_PATH_BYTES and not re.search(r"\s", str(socket)):
            return socket
        digest = hashlib.sha256(bytes(socket)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"perceptron-{digest}" / "valkey.sock"
