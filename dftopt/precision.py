"""Double precision, set once when the first module that uses JAX is imported, and the compilation cache."""

import os
from functools import wraps
from pathlib import Path

import jax
from threadpoolctl import threadpool_limits

jax.config.update("jax_enable_x64", True)  # energies are never single precision


def enable_compilation_cache(folder: str | Path | None = None) -> Path:
    """Keep compiled programs on disk, so that the next process starts without compiling.

    Args:
        folder: default `$DFTOPT_CACHE`, else `dftopt` in the user's cache folder.

    Returns:
        The folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    path = Path(folder or os.environ.get("DFTOPT_CACHE") or base / "dftopt")
    path.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


def one_blas_thread(function):
    """Decorator: LAPACK runs on one thread meanwhile.

    Our matrices are small. Threads that spin while they wait for work slow down whatever else runs on the machine
    (measured: up to 20 times under load) and gain nothing when it is idle.
    """

    @wraps(function)
    def limited(*args, **kwargs):
        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
