"""Doing once, a little later, what many ask for."""

import threading
from collections.abc import Callable


class Soon:
    """Does something so many seconds after it is first asked for, for all that ask until then."""

    def __init__(self, do: Callable[[], object], seconds: float) -> None:
        self._do = do
        self._seconds = seconds
        self._is_due = False

    def __call__(self) -> None:
        """Ask for it."""
        if not self._is_due:
            self._is_due = True
            later = threading.Timer(self._seconds, self._run)
            later.daemon = True
            later.start()

    def _run(self) -> None:
        self._is_due = False
        self._do()
