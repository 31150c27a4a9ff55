"""
The strings below a model's attributes, read when a schema is asked for.

pydantic's own `use_attribute_docstrings` reads them when the class is made: for two hundred models
that is a quarter of the time in which an API process loads, and few of them ever show their schema.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache


def attribute_docstrings(model: type) -> dict[str, str]:
    """Find what is written below the attributes of a class, its bases' included; "" if nothing."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        found |= _of_module(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Read every class of a module once. {class: {attribute: text}}; empty without its source."""
    try:
        source = inspect.getsource(sys.modules[name])
    except (KeyError, OSError, TypeError):
        return {}
    return {
        statement.name: dict(_of_class(statement))
        for statement in ast.parse(source).body
        if isinstance(statement, ast.ClassDef)
    }


def _of_class(statement: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(statement.body, [*statement.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield field.target.id, inspect.cleandoc(text)
                case _:
                    yield field.target.id, ""  # and not what a class above says of it
