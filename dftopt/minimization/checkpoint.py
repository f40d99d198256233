"""Where a minimization stands, on disk: written every so often, and taken up again by the same call.

A file holds the point alone (orbitals and occupation parameters), what it belongs to, and the record so far, behind a
SHA-256 of everything that follows. It is replaced atomically, and the one before it is kept as FILE.previous: whenever
the process is killed, one of the two is whole.
"""

import hashlib
import io
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftopt.errors import DFTOptWarning, InputError
from dftopt.locks import hold

MAGIC = b"dftopt checkpoint 2\n"
EVERY = 30.0  # seconds between saves, or twenty times what a save takes
DIGITS = 7  # of lengths in bohr and other numbers that are compared


class Saved(NamedTuple):
    """A point and its record.

    Attributes:
        x: {"psi", "occ"}.
        filled: bands per spin that were filled (T = 0).
        history: accepted free energies, hartree.
        errors: their predicted errors, hartree.
        iterations: so far.
        evaluations: so far.
        hamiltonians: products H psi and FFTs so far, (2,).
    """

    x: Any
    filled: tuple[int, ...]
    history: np.ndarray
    errors: np.ndarray
    iterations: int
    evaluations: int
    hamiltonians: np.ndarray


def identity(model, basis, options) -> dict[str, Any]:
    """What a saved point belongs to, in plain values; how the minimum is reached (minimizer, tol, seed) is left out."""
    s = model.structure
    rounded = lambda a: (np.round(np.asarray(a, float), DIGITS) + 0.0).tolist()
    return {
        "elements": list(s.symbols),
        "cell (bohr)": rounded(s.cell),
        "positions (fractional)": rounded(s.frac),
        "starting moments": rounded(s.moments) if model.nspin == 2 else [],
        "xc": model.functional.name,
        "spinpol": model.nspin == 2,
        "charge": float(model.charge),
        "dispersion": model.dispersion,
        "pseudopotentials": {e: p.identity for e, p in model.potentials.items()},
        "ecut (hartree)": float(basis.ecut),
        "fft": list(basis.fft),
        "plane waves": np.asarray(basis.counts).tolist() + [basis.npw],
        "k points": rounded(basis.kpoints.k),
        "weights": rounded(basis.kpoints.weights),
        "coulomb": basis.vacuum.coulomb,
        "dipole_correction": basis.vacuum.dipole,
        "temperature (hartree)": float(options.temperature),
        "smearing": options.smearing if options.temperature else "",
        "magnetization": options.magnetization,
        "nbands": options.nbands,
        "parametrization": options.parametrization,
    }


class Checkpoint:
    """A file of this minimization, held against other processes while the object lives.

    Args:
        path: of the file.
        identity: see `identity`.
        every: seconds between saves.

    Raises:
        InputError: the folder cannot be written, or another process holds the file.
    """

    def __init__(self, path, identity: dict[str, Any], every: float = EVERY):
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InputError(f"checkpoint = {path!r} has to be the path of a file.")
        self.path = Path(path)
        self._identity = json.loads(json.dumps(identity))
        self._every, self._last, self._cost = every, time.monotonic(), 0.0
        self._told = False
        if self.path.is_dir():
            raise InputError(f"checkpoint = {str(path)!r} is a folder: name a file.")
        try:
            self._lock = hold(
                self.path.with_name(self.path.name + ".lock"),
                f"checkpoint = {str(path)!r}",
                "Wait for it, or give another path.",
            )
        except OSError as error:
            raise InputError(
                f"checkpoint = {str(path)!r} cannot be written: {error.strerror or error}. Give a path in a folder that exists "
                "and may be written."
            ) from None

    @property
    def previous(self) -> Path:
        """The file before the last."""
        return self.path.with_name(self.path.name + ".previous")

    def read(self) -> Saved | None:
        """The last point that is whole; None where nothing was saved.

        Raises:
            InputError: it belongs to another calculation, or no file is whole.
        """
        damaged = ""
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                content = unpacked(path)
            except ValueError as error:
                damaged = damaged or f"{path} is damaged ({error})"
                continue
            if damaged:
                warnings.warn(f"{damaged}; {path}, saved before it, is used.", DFTOptWarning, stacklevel=4)
            different = _difference(json.loads(content.pop("identity").tobytes()), self._identity)
            if different:
                raise InputError(
                    f"checkpoint = {str(path)!r} belongs to another calculation: {different}. Give another path, or remove the file."
                )
            return _saved(content)
        if damaged:
            raise InputError(f"checkpoint: {damaged}, and no older one is whole. Remove it to start anew.")
        return None

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last > max(self._every, 20 * self._cost)

    def write(self, saved: Saved) -> None:
        """Save; where that fails, the older file stays, a warning says so once, and the minimization goes on."""
        begun = time.monotonic()
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            body = packed(saved, self._identity)
            with part.open("wb") as stream:
                stream.write(MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n")
                stream.write(body)
                stream.flush()
                os.fsync(stream.fileno())
            if self.path.exists():
                os.replace(self.path, self.previous)
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            if not self._told:
                warnings.warn(
                    f"checkpoint {self.path} cannot be written ({error}); the older one, if any, is untouched, and the run goes on.",
                    DFTOptWarning,
                    stacklevel=5,
                )
            self._told = True
        self._last = time.monotonic()
        self._cost = self._last - begun


def packed(saved: Saved, identity: dict[str, Any]) -> bytes:
    """The body of a file."""
    arrays = {
        "psi": np.asarray(saved.x["psi"]),
        "filled": np.asarray(saved.filled, np.int64),
        "history": np.asarray(saved.history, float),
        "errors": np.asarray(saved.errors, float),
        "counts": np.array([saved.iterations, saved.evaluations, *np.asarray(saved.hamiltonians)], float),
        "identity": np.frombuffer(json.dumps(identity).encode(), np.uint8),
    }
    if len(saved.x["occ"]):
        arrays["occ"] = np.asarray(saved.x["occ"])
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def unpacked(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a file whose checksum is right.

    Raises:
        ValueError: says what is wrong.
    """
    content = path.read_bytes()
    head = len(MAGIC) + 65
    if not content.startswith(MAGIC):
        raise ValueError("it is not a checkpoint of this version of dftopt")
    body = content[head:]
    if content[len(MAGIC) : head] != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise ValueError("its checksum is wrong")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _saved(arrays: dict[str, np.ndarray]) -> Saved:
    iterations, evaluations, *hamiltonians = arrays["counts"]
    return Saved(
        {"psi": arrays["psi"], "occ": arrays.get("occ", ())},
        tuple(int(n) for n in arrays["filled"]),
        arrays["history"],
        arrays["errors"],
        int(iterations),
        int(evaluations),
        np.array(hamiltonians),
    )


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    for name, value in ours.items():
        if theirs.get(name) != value:
            then, now = str(theirs.get(name)), str(value)
            return f"its {name} is {then}, this one's {now}" if len(then) + len(now) < 80 else f"its {name} differ"
    return ""
