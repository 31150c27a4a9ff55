"""Whose turn it is: what takes long, or thousands ask for at once, lets others go first."""

import gevent

PATIENCE_SECONDS = 0.01
"""How long a quiet moment is waited for: so long does a process under full load keep it back."""


def await_quiet() -> None:
    """
    Let the loop turn until it finds nothing else to do, or for `PATIENCE_SECONDS`.

    A `sleep(0)` would let each of the others take one step; a prediction needs several.
    """
    hub = gevent.get_hub()
    quiet = hub.loop.idle()
    try:
        with gevent.Timeout(PATIENCE_SECONDS, exception=False):
            hub.wait(quiet)
    finally:
        quiet.close()
