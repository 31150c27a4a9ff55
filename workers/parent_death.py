"""Dying with the parent, so that a killed worker leaves no orphan that trains on."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """
    Have the kernel kill this process when its parent dies, and die now if it is dead already.

    Linux only; elsewhere the lifeline looks at the parent at every heartbeat.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)
