"""Models ready to predict with: loaded once per process, the least recently used dropped first."""

from collections import OrderedDict
from time import monotonic
from typing import NamedTuple

from perceptron.layers import Layers, from_bytes
from schemas.preprocessing import Preprocessing
from service.metrics import Metrics
from storage.models import ModelRegistry
from storage.notices import Notices

LIFETIME_SECONDS = 1.0
"""How long a name may stand for what the database once said it does, whatever is not heard."""
MOST_NAMES = 10_000
"""Names that are known at once."""

_Version = tuple[str, int, str]
"""Name, number and digest."""


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

    The weights of a version never change. What a name and an alias stand for does: the database is
    asked, and its answer counts for a second. Who is about to change it says so before, and waits
    until every process has let go (`Notices.announce`); for a second, then, each request asks
    again. So does each one while announcements are not heard.
    """

    def __init__(
        self, registry: ModelRegistry, notices: Notices, metrics: Metrics, max_bytes: int
    ) -> None:
        self._registry = registry
        self._notices = notices
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._ready: OrderedDict[_Version, ReadyModel] = OrderedDict()
        self._known: dict[tuple[str, int | str | None], tuple[ReadyModel, float]] = {}
        self._unsettled: dict[str, float] = {}
        self._is_told = False

    def get(self, name: str, reference: int | str | None) -> ReadyModel:
        """Give the model that a number or an alias stands for. Raises: NotFound, CorruptModel."""
        known = self._known.get((name, reference))
        now = monotonic()
        if known is not None and now < known[1]:
            return known[0]
        if not self._is_told:
            self._is_told = True
            self._notices.on_announcement(self._forget)
        key = (name, *self._registry.resolve(name, reference))
        model = self._version(key)
        if self._notices.is_listening and self._is_settled(name, now) and key in self._ready:
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[name, reference] = model, now + LIFETIME_SECONDS
        return model

    def drop(self, name: str) -> None:
        """Forget every version of a model."""
        for key in [key for key in self._ready if key[0] == name]:
            self._let_go(self._ready.pop(key))

    def _forget(self, name: str | None) -> None:
        """Let go of what a name stands for; of all names where it is None."""
        if name is None:
            self._known.clear()
            return
        for key in [key for key in self._known if key[0] == name]:
            del self._known[key]
        now = monotonic()
        if len(self._unsettled) >= MOST_NAMES:
            self._unsettled = {name: end for name, end in self._unsettled.items() if now < end}
        self._unsettled[name] = now + LIFETIME_SECONDS

    def _is_settled(self, name: str, since: float) -> bool:
        """Whether nothing was announced that an answer of this moment may not show yet."""
        return self._unsettled.get(name, since) <= since

    def _version(self, key: _Version) -> ReadyModel:
        ready = self._ready.get(key)
        if ready is None:
            ready = self._load(*key[:2])
            self._keep(key, ready)
        else:
            self._ready.move_to_end(key)
        return ready

    def _load(self, name: str, version: int) -> ReadyModel:
        weights, card = self._registry.weights(name, version)
        layers = from_bytes(weights)
        self._metrics.loaded()
        return ReadyModel(name, version, card.row_preprocessing, layers, len(weights))

    def _keep(self, key: _Version, ready: ReadyModel) -> None:
        if ready.size_bytes > self._max_bytes or key in self._ready:
            return
        self._ready[key] = ready
        self._size_bytes += ready.size_bytes
        self._metrics.cached(self._size_bytes, len(self._ready))
        while self._size_bytes > self._max_bytes:
            _, dropped = self._ready.popitem(last=False)
            self._let_go(dropped)

    def _let_go(self, dropped: ReadyModel) -> None:
        """Count a model that was taken out, and have no name keep it."""
        self._size_bytes -= dropped.size_bytes
        for name in [name for name, (model, _) in self._known.items() if model is dropped]:
            del self._known[name]
        self._metrics.cached(self._size_bytes, len(self._ready))
