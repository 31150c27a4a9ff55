"""Models ready to predict with: loaded once per process, the least recently used dropped first."""

from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

from perceptron.layers import Layers, from_bytes, parameter_counts
from perceptron.routing import choose
from schemas.preprocessing import Preprocessing
from service.metrics import Metrics
from storage.models import ModelRegistry, Route
from storage.notices import LIFETIME_SECONDS, Notices

MOST_NAMES = 10_000
"""Names that are known at once."""

MAX_WORK = 12_500_000_000
"""Most multiplications of one request: about a second's."""
ACTIVATION_WORK = 250
"""Multiplications that take as long as one activation."""

_Version = tuple[str, int, str]
"""Name, number and digest."""


class ReadyModel(NamedTuple):
    """One version in memory."""

    name: str
    version: int
    preprocessing: Preprocessing
    layers: Layers
    size_bytes: int
    most_rows: int
    """Rows that it computes in about a second: most of one request."""


class Choice(NamedTuple):
    """What a number or an alias stands for, in memory."""

    models: tuple[ReadyModel, ...]
    weights: tuple[float, ...]
    """One for each model."""
    sticky_by: str | None
    """Key of a request's environment by which one is chosen; None: at random."""
    shadows: tuple[ReadyModel, ...]

    def of(self, environ: Mapping[str, Any]) -> ReadyModel:
        """Choose the model that answers a request; see PEP 3333 for its environment."""
        if len(self.models) == 1:
            return self.models[0]
        key = None if self.sticky_by is None else environ.get(self.sticky_by)
        return self.models[choose(self.weights, None if key is None else self._salted(key))]

    @property
    def primary(self) -> ReadyModel:
        """The one with the greatest weight, the first of equals."""
        return self.models[self.weights.index(max(self.weights))]

    def _salted(self, key: str) -> str:
        """Tell the same keys of different models apart: not always the same clients go first."""
        return f"{self.models[0].name}/{key}"


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
        self._known: dict[tuple[str, int | str | None], tuple[Choice, float]] = {}
        self._unsettled: dict[str, float] = {}
        self._is_told = False

    def get(self, name: str, reference: int | str | None) -> ReadyModel:
        """
        Give the model that a number or an alias stands for where one is needed.

        Raises: NotFound, CorruptModel.
        """
        return self.choice(name, reference).primary

    def choice(self, name: str, reference: int | str | None) -> Choice:
        """Give the models that a number or an alias stands for. Raises: NotFound, CorruptModel."""
        known = self._known.get((name, reference))
        now = monotonic()
        if known is not None and now < known[1]:
            return known[0]
        if not self._is_told:
            self._is_told = True
            self._notices.on_announcement(self._forget)
        choice = self._choice(name, self._registry.route(name, reference))
        if self._notices.is_listening and self._is_settled(name, now) and self._keeps(choice):
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[name, reference] = choice, now + LIFETIME_SECONDS
        return choice

    def _choice(self, name: str, route: Route) -> Choice:
        return Choice(
            models=tuple(self._version((name, *share[:2])) for share in route.shares),
            weights=tuple(share.weight for share in route.shares),
            sticky_by=route.sticky_by and environ_key(route.sticky_by),
            shadows=tuple(self._version((name, *shadow[:2])) for shadow in route.shadows),
        )

    def _keeps(self, choice: Choice) -> bool:
        """Whether all models of a choice are among those that count."""
        kept = set(map(id, self._ready.values()))
        return all(id(model) in kept for model in (*choice.models, *choice.shadows))

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
        rows = _most_rows(layers)
        return ReadyModel(name, version, card.row_preprocessing, layers, len(weights), rows)

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
        for at in [at for at in self._known if at[0] == dropped.name]:
            del self._known[at]
        self._metrics.cached(self._size_bytes, len(self._ready))


def _most_rows(layers: Layers) -> int:
    counts = parameter_counts(layers)
    return max(1, MAX_WORK // (counts.weights + ACTIVATION_WORK * counts.biases))


def environ_key(header: str) -> str:
    """Say what a request's environment calls a header; see PEP 3333."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
