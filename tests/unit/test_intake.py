"""Taking in a large table holds up nobody else in its process."""

import hashlib
from pathlib import Path

import gevent

from schemas.dataset import Dataset
from schemas.settings import Settings
from service import intake
from service.app import create_app
from service.context import storage
from storage.migrations import migrate

SIZE = 64_000_000


def test_others_go_on_while_a_table_is_stored(tmp_path: Path) -> None:
    """SQLite takes its time for what is large; the event loop goes round meanwhile."""
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_location)
    source = tmp_path / "frame"
    source.write_bytes(bytes(SIZE))
    dataset = Dataset.model_validate(
        {
            "name": "large",
            "description": "",
            "built_in": False,
            "rows": 2,
            "feature_names": ["x"],
            "target": "y",
            "task": "binary",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "size_bytes": SIZE,
            "created_at": None,
            "columns": [],
            "records": [],
        }
    )
    rounds = 0

    def go_round() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            gevent.sleep(0.001)

    with create_app(settings).test_request_context():
        other = gevent.spawn(go_round)
        gevent.sleep(0)
        before = rounds
        stored = intake._store(dataset, source)  # noqa: SLF001
        assert rounds > before
        other.kill()
        assert storage().datasets.get("large") == stored
        assert storage().datasets.data("large")[0] == source.read_bytes()
