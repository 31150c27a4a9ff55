"""Predicting the rows of a dataset: what a job of the kind `predict` does."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from perceptron import batches, layers
from perceptron.judging import judge
from perceptron.layers import FloatArray
from schemas.batch import PredictionReport, PredictionRequest
from schemas.errors import InvalidData, InvalidField, NotFound
from schemas.model import ModelCard
from schemas.settings import Settings
from storage import Storage
from storage.leases import Claim, Progress
from storage.predictions import Outputs
from workers.attempt import Attempt
from workers.training import source_of

ENGINE, DEVICE = "numpy", "cpu"


class PredictAttempt(Attempt):
    """Predicts block after block, from the first row that no attempt has stored yet."""

    def __init__(self, storage: Storage, claim: Claim, settings: Settings) -> None:
        super().__init__(storage, claim, settings)
        self._done = 0
        self._unstored: list[FloatArray] = []

    def work(self) -> Callable[[], None]:
        """Predict every row, and judge the answers; see `Attempt.work`."""
        try:
            report = self._predict()
        except InvalidField as error:
            raise InvalidData(error.detail) from error
        return lambda: self.storage.leases.succeed_prediction(self.claim, self._progress(), report)

    def _predict(self) -> PredictionReport:
        """Raises: Stopped, InvalidData, InvalidField, LeaseLost."""
        weights, card = self._model()
        preprocessing = card.row_preprocessing
        frame = source_of(self.storage, self._request.dataset, self.claim).frame
        rows = batches.usable(preprocessing, frame, are_numbers_texts=False)
        network = layers.from_bytes(weights)
        dtype = network[-1].weight.dtype
        self._done = self.storage.predictions.rows(self.claim.job_id)
        for found in batches.outputs(preprocessing, network, rows, self._done):
            self._unstored.append(found)
            self._done += len(found)
            self.look_up(self._progress)
        evaluation = None
        if preprocessing.target.name in frame.names:
            self.retrying(self.flush, self._progress())
            stored = b"".join(self.storage.predictions.pieces(self.claim.job_id))
            shape = (-1,) if preprocessing.target.outputs == 1 else (frame.rows, -1)
            found = np.frombuffer(stored, dtype).reshape(shape)
            goal = frame.column(preprocessing.target.name)
            evaluation = judge(preprocessing.target, goal, found)
        return PredictionReport.model_validate(
            {"target": preprocessing.target, "dtype": dtype.name, "evaluation": evaluation}
        )

    @cached_property
    def _request(self) -> PredictionRequest:
        return PredictionRequest.model_validate_json(self.claim.request)

    def _model(self) -> tuple[bytes, ModelCard]:
        """Read the version that the job was accepted with. Raises: InvalidData: it is gone."""
        try:
            return self.storage.models.weights(self.claim.model, self.claim.model_version or 0)
        except NotFound as error:
            raise InvalidData(f"{error.detail} any more") from None

    def _progress(self) -> Progress:
        outputs = None
        if self._unstored:
            values = np.concatenate(self._unstored)
            outputs = Outputs(self._done - len(values), values)
        return Progress(self._done, (), ENGINE, DEVICE, outputs=outputs)

    def stored(self, _progress: Progress) -> None:
        """Forget the outputs that are stored now."""
        self._unstored = []
