"""Honest timings: seconds spent compiling, counted apart from seconds spent running."""

import resource
import time
from pathlib import Path

import jax
import jax.monitoring

_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_spent = {"seconds": 0.0, "compilations": 0}


def _listen(event: str, duration_secs: float, **kwargs) -> None:
    if event in _COMPILE_EVENTS:
        _spent["seconds"] += duration_secs
        _spent["compilations"] += event == _COMPILE_EVENTS[2]


jax.monitoring.register_event_duration_secs_listener(_listen)


def make_room() -> None:
    """Drop JAX's compiled programs when the process is about to run out of memory maps.

    Each program keeps dozens of memory maps open, and Linux allows 65,530 a process by default: without this, a script
    that computes a few dozen shapes dies in the compiler. Dropped programs are compiled again when needed.
    """
    try:
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as maps:
            used = sum(1 for _ in maps)
    except (OSError, ValueError):
        return  # no such limit on this system
    if used > 0.5 * limit:
        jax.clear_caches()


class Clock:
    """Wall seconds, compile seconds and compilations since it was made."""

    def __init__(self):
        self._start = time.perf_counter()
        self._before = dict(_spent)

    def read(self) -> dict:
        """`wall_seconds` (all), `compile_seconds` (of it), `compilations`, `peak_memory_MiB` of the process."""
        return {
            "wall_seconds": time.perf_counter() - self._start,
            "compile_seconds": _spent["seconds"] - self._before["seconds"],
            "compilations": _spent["compilations"] - self._before["compilations"],
            "peak_memory_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
