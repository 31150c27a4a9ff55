"""Cursor pages, in the shape that OpenAI's clients page through."""

from typing import Annotated, Generic, TypeVar

from pydantic import Field

from schemas.base import Record

Item = TypeVar("Item")


class PageQuery(Record):
    """Which page of a list to answer with."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Items of one page."""
    after: str | None = None
    """Identifier of the last item of the page before; absent: the first page."""


class Page(Record, Generic[Item]):
    """One page of a list."""

    object: str = "list"
    data: tuple[Item, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool
    """Whether another page follows `last_id`."""
