"""
Every error that the system raises on purpose. None of them knows HTTP.

PerceptronError
├── InvalidField            a value that the vocabulary allows, and this deployment or data does not
├── NotFound                no such job, model, version, alias, dataset or gate
├── Conflict                the request contradicts what is stored
│   ├── IdempotencyMismatch     the key was used with another request
│   ├── BuiltInModel            built-in models cannot be changed
│   ├── BuiltInDataset          built-in datasets cannot be changed
│   ├── DatasetExists           a dataset's name is taken until it is deleted
│   ├── AlreadyFinal            the job has ended in another way
│   ├── CannotPause             the job is no training, or is being cancelled
│   ├── PreconditionRequired    an existing alias is moved only with its ETag
│   ├── PreconditionFailed      the alias has moved since the ETag was read
│   └── NothingToRollBackTo     the alias has no earlier state whose versions all exist
├── Unavailable             a dependency does not answer
├── DiskFull                a request's files have no room
├── CorruptModel            stored weights or rows are not what was stored
├── InvalidData             rows that were accepted cannot be trained on
├── Diverged                the loss is no longer a number
├── DeviceUnavailable       the device that the job asks for is not here
└── LeaseLost               the job belongs to another attempt by now
"""


class PerceptronError(Exception):
    """Something went wrong on the way of a request or a job."""

    at: tuple[str | int, ...] | None = None
    """Place in the request's body that is to blame, where there is one."""
    parameter: str | None = None
    """Header, or part of the path or query, that is to blame instead."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or (self.__doc__ or "").strip())

    @property
    def detail(self) -> str:
        """One sentence for the client."""
        return str(self)


class InvalidField(PerceptronError):
    """A field's value cannot be used."""

    def __init__(self, detail: str, *at: str | int, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.at = at if parameter is None else None
        self.parameter = parameter


class NotFound(PerceptronError):
    """There is nothing by that name."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        """What was looked for: `job`, `model`, `version`, `alias`, `dataset`, `gate`."""


class Conflict(PerceptronError):
    """The request contradicts what is stored."""


class IdempotencyMismatch(Conflict):
    """The Idempotency-Key was used with another request: send the same body, or a new key."""


class BuiltInModel(Conflict):
    """Built-in models cannot be changed."""


class BuiltInDataset(Conflict):
    """Built-in datasets cannot be changed."""


class DatasetExists(Conflict):
    """There is a dataset by that name: delete it, or choose another name."""


class AlreadyFinal(Conflict):
    """The job has ended already."""


class CannotPause(Conflict):
    """Only trainings can be paused and resumed, and none that is being cancelled."""


class PreconditionRequired(Conflict):
    """The alias exists: send its ETag in If-Match to move or delete it."""


class PreconditionFailed(Conflict):
    """The alias has moved since, or there is none: read it again."""


class NothingToRollBackTo(Conflict):
    """The alias has no earlier state, or a version of that has been deleted."""


class Unavailable(PerceptronError):
    """A dependency does not answer: try again."""


class DiskFull(PerceptronError):
    """The service has no room for the request's files; nothing was stored: try again later."""


class CorruptModel(PerceptronError):
    """Stored weights or rows are not what was stored."""


class InvalidData(PerceptronError):
    """The job's rows cannot be trained on."""


class Diverged(PerceptronError):
    """The loss is no longer a number."""

    def __init__(self, epoch: int | None = None) -> None:
        super().__init__(
            f"the loss is not finite at epoch {epoch}: lower the learning rate"
            if epoch is not None
            else "no network of the sweep has a finite loss: lower the learning rates"
        )
        self.epoch = epoch


class DeviceUnavailable(PerceptronError):
    """The device that the job asks for is not on this worker."""


class LeaseLost(PerceptronError):
    """The job belongs to another attempt by now."""
