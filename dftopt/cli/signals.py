"""Ctrl-C, the queue's end of time and --walltime: a run is asked to stop where its state can be saved."""

import os
import signal
import threading
import time


class Signals:
    """Context in which the first SIGINT or SIGTERM is only noted; a second one acts as it does without us.

    Args:
        walltime: seconds after which the work should have ended; None for no limit.
        begun: when they started to count, of `time.monotonic()`; default now.

    Attributes:
        received: name of the first signal, "--walltime", or None.
    """

    def __init__(self, walltime: float | None = None, begun: float | None = None):
        self.received: str | None = None
        self._before: dict = {}
        self._last = time.monotonic()
        self._begun = self._last if begun is None else begun
        self._walltime, self._longest = walltime, 0.0

    def __enter__(self) -> "Signals":
        """Install the handlers; only the main thread may have any, and what is ignored (nohup) stays ignored."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        """Put back what was there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def stop(self) -> bool:
        """Whether to end now: a signal came, or another stretch as long as the longest between two calls takes too long."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        if self.received is None and self._walltime is not None and now + self._longest - self._begun > self._walltime:
            self.received = "--walltime"
        return self.received is not None

    def _note(self, number: int, frame) -> None:
        self.__exit__()
        self.received = signal.Signals(number).name
        text = f"dftopt: {self.received}: the run ends, and is saved, after the present block of iterations; again: at once.\n"
        os.write(2, text.encode())  # sys.stderr may be in the middle of a write
