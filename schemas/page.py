"""Cursor pages, in the shape that OpenAI's clients page through."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Generic, Self, TypeVar

from pydantic import Field

from schemas.base import Identifier, Record

Item = TypeVar("Item")
Id = TypeVar("Id")

PageLimit = Annotated[int, Field(ge=1, le=100)]


class PageQuery(Record):
    """Which page of a list to answer with."""

    limit: PageLimit = 20
    """Items of one page."""
    after: Identifier | None = None
    """Identifier of the last item of the page before; absent: the first page."""

    def choose(self, names: Iterable[str]) -> tuple[list[str], bool]:
        """Choose this page's of all names, by the alphabet, and say whether more follow."""
        following = sorted(name for name in names if self.after is None or name > self.after)
        return following[: self.limit], len(following) > self.limit


class Page(Record, Generic[Item, Id]):
    """One page of a list."""

    object: str = "list"
    data: tuple[Item, ...]
    first_id: Id | None
    last_id: Id | None
    has_more: bool
    """Whether another page follows `last_id`."""

    @classmethod
    def of(cls, items: Sequence[Item], key: Callable[[Item], Id], *, has_more: bool) -> Self:
        """Make a page of items, whose identifiers `key` gives."""
        first, last = (key(items[0]), key(items[-1])) if items else (None, None)
        return cls(data=tuple(items), first_id=first, last_id=last, has_more=has_more)
