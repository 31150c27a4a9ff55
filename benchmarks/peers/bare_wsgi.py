"""
The limit of the API's own stack: a constant answer under the same gunicorn, gevent and settings.

Started like `service/__main__.py`, so that the two differ in nothing but the application.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gunicorn.app.wsgiapp import run

CONFIGURATION = Path(__file__).parents[2] / "service" / "gunicorn.conf.py"
ANSWER = os.environ["ANSWER"].encode()
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))]


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read the body and answer the constant."""
    environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return (ANSWER,)


def create_bare_app() -> Any:
    """Make the API, and have it answer the constant before it looks at anything."""
    from service.app import create_app  # noqa: PLC0415  # by gunicorn, with its settings

    app = create_app()
    app.wsgi_app = answer  # type: ignore[method-assign]
    return app


if __name__ == "__main__":
    sys.argv = ["gunicorn", "--config", str(CONFIGURATION), "bare_wsgi:create_bare_app()"]
    run()
