"""What result files of crystals and of molecules share: they appear whole or not at all, and are checked when read."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError

VERSION = 1


def write_atomically(path, write: Callable[[h5py.File], None]) -> None:
    """Write a sealed file beside `path`, and put it there when it is complete.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        with h5py.File(part, "w") as f:
            write(f)
            seal(f)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"The result cannot be written to {path}: {error}. An older file there is untouched."
        ) from error


def seal(f: h5py.File) -> None:
    """Keep the checksum of what an open file holds now; to be called again by who adds to it."""
    f.attrs["sha256"] = _checksum(f)


def check_whole(f: h5py.File, path: Path) -> None:
    """Refuse a file of a newer version, whose arrays claim more than it holds, or that is not as it was written.

    Raises:
        InputError: names the file and what is wrong.
    """
    if int(f.attrs["version"]) > VERSION:
        raise InputError(f"{path} has version {f.attrs['version']}, this dftopt reads up to {VERSION}: upgrade it.")
    held = 4096 * path.stat().st_size  # compressed potentials shrink, by far less than this
    sizes: list[int] = []
    f.visititems(lambda name, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
    if sum(sizes) > held:
        raise InputError(f"{path} is damaged: its arrays claim {sum(sizes):.3g} bytes.")
    if "sha256" in f.attrs and f.attrs["sha256"] != _checksum(f):
        raise InputError(f"{path} is damaged: its checksum is wrong. Compute it again, or take an older copy.")


def write_state(f: h5py.File, kind: str, result, setup: dict, arrays: tuple[str, ...]) -> None:
    """The description (`setup` and what every result has), the named arrays, and the point of the minimum."""
    f.attrs["format"], f.attrs["version"] = kind, VERSION
    setup = setup | {
        "options": result.options.as_dict(),
        "stats": dict(result.stats),
        "energies": vars(result.energies),
        "converged": result.converged,
        "verdict": result.verdict,
        "fermi_levels": result.fermi_levels,
        "diagonality": result.diagonality,
        "charge_integral": result.charge_integral,
        "absolute_magnetization": result.absolute_magnetization,
    }
    f.attrs["setup"] = json.dumps(setup)
    for name in arrays:
        f[name] = np.asarray(getattr(result, name))
    f["point/psi"] = np.asarray(result.point["psi"])
    if len(result.point["occ"]):
        f["point/occ"] = np.asarray(result.point["occ"])


def read_state(f: h5py.File, arrays: tuple[str, ...]) -> tuple[dict, dict[str, Any], dict]:
    """(setup, arrays by name, point) of what `write_state` wrote."""
    point = {
        "psi": jnp.asarray(f["point/psi"][()]),
        "occ": jnp.asarray(f["point/occ"][()]) if "point/occ" in f else (),
    }
    return json.loads(f.attrs["setup"]), {name: f[name][()] for name in arrays}, point


def _checksum(f: h5py.File) -> str:
    """SHA-256 of the description and of all arrays, by name."""
    digest = hashlib.sha256(f.attrs["setup"].encode())

    def add(name: str, item) -> None:
        if isinstance(item, h5py.Dataset):
            array = np.ascontiguousarray(item[()])
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())

    f.visititems(add)
    return digest.hexdigest()
