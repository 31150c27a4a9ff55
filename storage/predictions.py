"""The outputs of predictions: pieces of a table, written under the lease of the job's attempt."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, select

from storage.database import Database
from storage.tables import predictions

PIECE_BYTES = 512 * 1024
"""Most bytes of outputs in one row: whoever reads them holds one at a time."""


class Outputs(NamedTuple):
    """What a network gives for rows of a table."""

    first_row: int
    """Their place in the table, from 0."""
    values: npt.NDArray[np.floating]
    """Shape (rows,), or (rows, outputs)."""


class PredictionStore:
    """Outputs in the database; they are shown once their job has succeeded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, job_id: str) -> int:
        """Count the rows that have their outputs: the first ones of the table."""
        query = select(func.sum(predictions.c.rows)).where(predictions.c.job_id == job_id)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def pieces(self, job_id: str) -> Iterator[bytes]:
        """Read the outputs in the order of the rows, piece by piece; none where there are none."""
        after = -1
        while True:
            query = (
                select(predictions.c.first_row, predictions.c.data)
                .where(predictions.c.job_id == job_id, predictions.c.first_row > after)
                .order_by(predictions.c.first_row)
                .limit(1)
            )
            with self._database.read() as connection:
                row = connection.execute(query).one_or_none()
            if row is None:
                return
            yield bytes(row.data)
            after = row.first_row


def keep(connection: Connection, job_id: str, outputs: Outputs) -> None:
    """
    Store outputs inside the caller's transaction, which holds the job's lease.

    They stand for what is stored of their rows already: a write that was taken for lost.
    """
    values = np.ascontiguousarray(outputs.values)
    step = max(1, PIECE_BYTES // max(1, values[:1].nbytes))
    rows = [
        {
            "job_id": job_id,
            "first_row": outputs.first_row + start,
            "rows": len(values[start : start + step]),
            "data": values[start : start + step].tobytes(),
        }
        for start in range(0, len(values), step)
    ]
    at = (predictions.c.job_id == job_id, predictions.c.first_row >= outputs.first_row)
    connection.execute(delete(predictions).where(*at))
    connection.execute(insert(predictions), rows)
