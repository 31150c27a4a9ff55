"""`python -m service`: the API under gunicorn. gevent patches first, before any other import."""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import sys
from pathlib import Path

sys.modules["rich"] = None  # type: ignore[assignment]  # structlog would load it for nothing: 5 MB

from gunicorn.app.wsgiapp import run

CONFIGURATION = Path(__file__).with_name("gunicorn.conf.py")

sys.argv = ["gunicorn", "--config", str(CONFIGURATION), "service.app:create_app()"]
run()
