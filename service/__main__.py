"""`python -m service`: the API under gunicorn. gevent patches first, before any other import."""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import os
import resource
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would only wait for each other

from service.spared import spare

spare()

from gunicorn.app.wsgiapp import run

CONFIGURATION = Path(__file__).with_name("gunicorn.conf.py")

_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a stream is an open file

sys.argv = ["gunicorn", "--config", str(CONFIGURATION), "service.app:create_app_when_let_in()"]
run()
