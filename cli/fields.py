"""Options of commands that are fields of a request: their help is the schema's own."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import click
from pydantic import BaseModel

from cli.predicting import cells
from schemas.docstrings import attribute_docstrings
from schemas.job import JobRequest
from schemas.preprocessing import DerivedInput
from schemas.training import TrainingConfig

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def field(
    model: type[BaseModel], name: str, kind: Any, *, flag: str | None = None, words: str = ""
) -> Decorator:
    """Make the option of a field; what is not given is left out of the request."""
    words = words or re.sub(r"\s+", " ", attribute_docstrings(model)[name])
    words = words.replace("`", "").replace("null", "left out")
    default = model.model_fields[name].get_default()
    is_told = isinstance(default, int | float | str) and not isinstance(default, bool)
    if is_told and default != 0:
        words = f"{words}  [default: {default}]"
    return click.option(
        flag or f"--{name.replace('_', '-')}", name, type=kind, default=None, help=words
    )


def choices(*names: str) -> click.Choice[str]:
    """Make a choice."""
    return click.Choice(names)


def all_of(*decorators: Decorator) -> Decorator:
    """Join decorators; the first option stands first in the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _derived(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read derived inputs. Raises: BadParameter."""
    known = get_args(DerivedInput.model_fields["function"].annotation)
    found = []
    for text in texts:
        function, _colon, names = text.partition(":")
        if function not in known or not names:
            told = f"{text!r} is no FUNCTION:COLUMNS, with a function of {', '.join(known)}"
            raise click.BadParameter(told)
        found.append({"function": function, "of": [name.strip() for name in cells(names)]})
    return found


DATA = all_of(
    field(JobRequest, "target", str),
    click.option(
        "--feature", "features", multiple=True, metavar="COLUMN",
        help="Column to predict it from; once for each.  [default: all others but text]",
    ),
    field(JobRequest, "task", choices("binary", "multiclass", "regression"),
          words="What to learn.  [default: it follows from the target]"),
    click.option("--standardise/--no-standardise", "standardise", default=None,
                 help="Scale numbers to mean 0 and deviation 1.  [default: tables are]"),
    click.option(
        "--derive", "derived", multiple=True, metavar="FUNCTION:COLUMNS", callback=_derived,
        help="Input beside the columns: square:x1, product:x1,x2 or sine:x2; once for each. A name "
             "with a comma stands in double quotes.",
    ),
)  # fmt: skip

TRAINING = all_of(
    field(TrainingConfig, "l1_penalty", float),
    field(TrainingConfig, "schedule", choices("constant", "cosine"),
          words="How the learning rate changes: constant, or along half a cosine down to 0."),
    field(TrainingConfig, "validation_fraction", float, flag="--validation"),
    field(TrainingConfig, "test_fraction", float, flag="--test"),
    click.option("--patience", type=int, default=None,
                 help="Stop after so many epochs without a better validation loss, and keep the "
                      "best weights; needs --validation."),
    click.option("--balanced", "class_weights", is_flag=True,
                 help="Let each class count the same."),
    field(TrainingConfig, "record_every", int),
    field(TrainingConfig, "engine", choices("auto", "fused", "torch")),
    field(TrainingConfig, "device", str),
)  # fmt: skip

MODEL = field(JobRequest, "model", str, words="Name to publish it under.  [default: the job's id]")
DETACH = click.option("--detach", is_flag=True, help="Do not wait for the end: print the job's id.")
ACTIVATIONS = choices("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity")
OPTIMIZERS = choices("sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop")


def given(**fields: Any) -> dict[str, Any]:
    """Leave out what was not given."""
    return {
        name: value for name, value in fields.items() if value is not None and value is not False
    }


def data_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Make the fields of a request that say what is learned."""
    standardise = options["standardise"]
    preprocessing = {} if standardise is None else {"standardise": standardise}
    preprocessing |= given(derived=options["derived"] or None)
    return given(
        target=options["target"],
        features=list(options["features"]) or None,
        task=options["task"],
        model=options["model"],
        preprocessing=preprocessing or None,
    )


def training_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Make the field `training` of a request."""
    same = (
        "l1_penalty",
        "validation_fraction",
        "test_fraction",
        "record_every",
        "engine",
        "device",
    )
    patience, schedule = options["patience"], options["schedule"]
    return given(
        **{name: options[name] for name in same},
        schedule=None if schedule is None else {"kind": schedule},
        class_weights="balanced" if options["class_weights"] else None,
        early_stopping=None if patience is None else {"patience": patience},
    )
