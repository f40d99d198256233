"""One process at a time: a lock on a file that dies with the process that holds it."""

import errno
import os
from pathlib import Path

from dftopt.errors import InputError


class Lock:
    """An open file descriptor that holds a lock, until it is collected or the process ends."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def __del__(self):
        os.close(self._descriptor)


def hold(path: Path, what: str, remedy: str) -> Lock | None:
    """A lock on a file, which is made where it is missing; None where the system has no locks.

    Args:
        path: of the file.
        what: is written to, for the message.
        remedy: for the message.

    Raises:
        InputError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return None
    lock = Lock(descriptor := os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return None  # a file system without locks
        owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        raise InputError(f"another dftopt (process {owner}) writes to {what} now. {remedy}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return lock
