"""Models ready to predict with: loaded once per process, the least recently used dropped first."""

from collections import OrderedDict
from typing import NamedTuple

from perceptron.layers import Layers, from_bytes
from schemas.preprocessing import Preprocessing
from storage.models import ModelRegistry


class ReadyModel(NamedTuple):
    """One version in memory."""

    name: str
    version: int
    preprocessing: Preprocessing
    layers: Layers
    size_bytes: int


class ModelCache:
    """
    Ready models of at most so many bytes in all.

    The database is asked at every call which version a name stands for, so a moved alias, a new
    version or a deletion shows at once; the weights of a version never change.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._ready: OrderedDict[tuple[str, int, str], ReadyModel] = OrderedDict()

    def get(self, registry: ModelRegistry, name: str, reference: int | str | None) -> ReadyModel:
        """Give the model that a number or an alias stands for. Raises: NotFound, CorruptModel."""
        version, sha256 = registry.resolve(name, reference)
        key = (name, version, sha256)
        ready = self._ready.get(key)
        if ready is None:
            ready = self._load(registry, name, version)
            self._keep(key, ready)
        else:
            self._ready.move_to_end(key)
        return ready

    def drop(self, name: str) -> None:
        """Forget every version of a model."""
        for key in [key for key in self._ready if key[0] == name]:
            self._size_bytes -= self._ready.pop(key).size_bytes

    def _load(self, registry: ModelRegistry, name: str, version: int) -> ReadyModel:
        weights, card = registry.weights(name, version)
        layers = from_bytes(weights)
        return ReadyModel(name, version, card.row_preprocessing, layers, len(weights))

    def _keep(self, key: tuple[str, int, str], ready: ReadyModel) -> None:
        if ready.size_bytes > self._max_bytes or key in self._ready:
            return
        self._ready[key] = ready
        self._size_bytes += ready.size_bytes
        while self._size_bytes > self._max_bytes:
            _, dropped = self._ready.popitem(last=False)
            self._size_bytes -= dropped.size_bytes
