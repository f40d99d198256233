"""Ctrl-C and the queue's end of time: the first signal asks a run to stop where its state can be saved."""

import os
import signal
import threading


class Signals:
    """Context in which the first SIGINT or SIGTERM is only noted; a second one acts as it does without us.

    Attributes:
        received: name of the first signal, or None.
    """

    def __init__(self):
        self.received: str | None = None
        self._before: dict = {}

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

    def _note(self, number: int, frame) -> None:
        self.__exit__()
        self.received = signal.Signals(number).name
        text = f"dftopt: {self.received}: the run ends, and is saved, after the present block of iterations; again: at once.\n"
        os.write(2, text.encode())  # sys.stderr may be in the middle of a write
