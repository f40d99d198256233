"""Double precision, set once when the first module that uses JAX is imported, and the compilation cache."""

import os
from functools import wraps
from pathlib import Path

import jax
from threadpoolctl import threadpool_limits

from dftopt.errors import InputError

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


def check_jax() -> None:
    """Refuse to compute where JAX cannot, or would do so in single precision.

    Raises:
        InputError: double precision was switched off, or JAX was told to use a device that is not there.
    """
    if not jax.config.read("jax_enable_x64"):
        raise InputError(
            "jax_enable_x64 is False: energies would be in single precision. dftopt sets it to True; remove what sets it back "
            "(JAX_ENABLE_X64, jax.config.update or jax.enable_x64)."
        )
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS") or jax.config.read("jax_platforms")
        raise InputError(
            f"JAX finds no device for JAX_PLATFORMS={asked!r} ({str(error) or 'its plugin is not installed'}). Unset it, or set "
            "JAX_PLATFORMS=cpu; for a GPU install JAX's plugin for it."
        ) from error


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
