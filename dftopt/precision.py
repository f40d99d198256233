"""Double precision, set once when the first module that uses JAX is imported, and the compilation cache."""

import os
from functools import wraps
from pathlib import Path

import jax
import jaxlib
from threadpoolctl import threadpool_limits

from dftopt.errors import InputError

MEASURED = "0.10."  # versions of jaxlib that know the flag of `use_cores`; an unknown one ends the process

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


def cores_here() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cores(n: int | None = None) -> int:
    """Let the k points of a crystal share cores of the CPU; only before JAX's first computation, later nothing changes.

    JAX then sees each core as a device. The command line and the calculator for ASE call it.

    Args:
        n: cores; default what was chosen before, else `$DFTOPT_CORES`, else all that this process may run on.

    Returns:
        The cores in use.

    Raises:
        InputError: not a whole number of at least 1.
    """
    chosen = int(jax.config.values["jax_num_cpu_devices"])
    if n is None and chosen > 0:
        return chosen
    here = cores_here()
    asked = os.environ.get("DFTOPT_CORES", str(here)) if n is None else str(n)
    if not asked.isdigit() or int(asked) < 1:
        name = "$DFTOPT_CORES" if n is None else "n"
        raise InputError(f"{name} = {asked} must be a whole number of cores, at least 1.")
    cores = min(int(asked), here)
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:  # JAX has started
        return max(chosen, 1)
    if cores > 1:
        # All devices share XLA's pool of threads, some of which wait for others: with one per core all may come to wait.
        os.environ.setdefault("NPROC", str(4 * cores))
        _flag(
            "--xla_cpu_collective_call_terminate_timeout_seconds", "1000000"
        )  # where one core is late; the default is 40 s
    if jaxlib.__version__.startswith(MEASURED):
        _flag(
            "--xla_cpu_use_fusion_emitters", "false"
        )  # compiles a quarter faster into programs as fast, in less memory
    return cores


def _flag(name: str, value: str) -> None:
    """A flag of XLA's compiler, unless the user has chosen it."""
    flags = os.environ.get("XLA_FLAGS", "")
    if name not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {name}={value}".strip()


def set_up_process() -> None:
    """What the command line and the calculator do before they start: all cores, and compiled programs kept on disk."""
    use_cores()
    if jax.config.values["jax_compilation_cache_dir"] is None:  # else the user has chosen a place
        try:
            enable_compilation_cache()
        except OSError:  # nowhere to write: each process compiles anew
            pass


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
