"""The bases that every model of the vocabulary derives from, and how their validators point."""

from contextvars import ContextVar
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from schemas.docstrings import attribute_docstrings

MAX_INTEGER = 2**31 - 1
"""Largest number that a database's INTEGER holds."""

Identifier = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A name in a path or a cursor, as clients write it: no control characters."""


class Record(BaseModel):
    """An immutable value; what the service stores and answers with."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe each field by the string below it."""
        schema = handler(core_schema)
        if _is_plain.get():
            return schema
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        texts = attribute_docstrings(cls)
        for name, field in cls.model_fields.items():
            shown = properties.get(field.alias or name)
            if shown is not None and texts.get(name):
                shown.setdefault("description", texts[name])
        return schema

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """
        Describe the model.

        Where nothing is asked for, as at each request, it is made once, and without descriptions:
        to read the sources for them takes megabytes.
        """
        if arguments or options:
            return super().model_json_schema(*arguments, **options)
        return _plain_schema(cls)


_is_plain = ContextVar("_is_plain", default=False)


@cache
def _plain_schema(model: type[Record]) -> dict[str, Any]:
    token = _is_plain.set(True)
    try:
        return super(Record, model).model_json_schema()
    finally:
        _is_plain.reset(token)


class Body(Record):
    """A value that a client sends as JSON: no type is coerced (`"1"` is not a number)."""

    model_config = ConfigDict(strict=True)


def invalid(message: str, *at: str | int) -> PydanticCustomError:
    """Make a validation error for the place `at` inside the model being validated."""
    return PydanticCustomError("invalid_value", "{message}", {"message": message, "at": at})
