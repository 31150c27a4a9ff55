"""The bases that every model of the vocabulary derives from, and how their validators point."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Record(BaseModel):
    """An immutable value; what the service stores and answers with."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Body(Record):
    """A value that a client sends as JSON: no type is coerced (`"1"` is not a number)."""

    model_config = ConfigDict(strict=True)


def invalid(message: str, *at: str | int) -> PydanticCustomError:
    """Make a validation error for the place `at` inside the model being validated."""
    return PydanticCustomError("invalid_value", "{message}", {"message": message, "at": at})
