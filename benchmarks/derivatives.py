#!/usr/bin/env python3
"""Forces and stress of magnets, meta-GGAs and core corrections against central differences of the free energy.

    python benchmarks/derivatives.py [iron chromium iron-semicore scan r2scan pseudodojo ...]

Small displaced and sheared cells without symmetry, at low cutoffs: far from converged, exact all the same. Iron is a
ferromagnet, chromium an antiferromagnet. Each number is
dA/dt along one component of one atom or one strain (hartree per bohr, hartree), and a four-point difference of minima; the
error is relative to the largest component. `pseudodojo` reads Si.psp8 of Debian's abinit-data package. Magnets have many
minima close by: a difference holds only if all its points belong to one, which their moments, printed as well, tell.
"""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from chosen import chosen

import dftopt
from dftopt.properties.derivatives import derivative

PSEUDODOJO = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8/Si.psp8")
SHEAR = np.eye(3) + [[0.01, 0.02, 0.0], [0.0, -0.015, 0.01], [0.005, 0.0, 0.02]]
STEP = {"positions": 8e-4, "strain": 4e-4}
ALL = tuple(("positions", (0, i)) for i in range(3)) + tuple(
    ("strain", (i, j)) for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
)


def magnet(element: str, first: float, second: float, a: float) -> Atoms:
    atoms = bulk(element, "bcc", a=a, cubic=True)
    atoms.positions[0] += [0.06, -0.03, 0.04]
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    atoms.set_initial_magnetic_moments([first, second])
    return atoms


def silicon() -> Atoms:
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.11, -0.07, 0.05]
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    return atoms


# name: (atoms, functional, potentials, cutoff in hartree, k mesh, temperature in hartree, bands)
SYSTEMS = {
    "iron": (magnet("Fe", 3.0, 3.0, 3.1), "PBE", "GTH-PADE-q8", 10.0, (1, 1, 1), 0.01, 14),
    "chromium": (magnet("Cr", 3.0, -3.0, 3.1), "PBE", "GTH-PADE-q6", 10.0, (1, 1, 1), 0.01, 14),
    "iron-semicore": (magnet("Fe", 3.0, 3.0, 2.87), "PBE", "GTH-PBE-q16", 16.0, (2, 1, 1), 0.01, 22),
    "scan": (silicon(), "SCAN", None, 6.0, (2, 1, 1), 0.0, None),
    "r2scan": (silicon(), "r2SCAN", None, 6.0, (2, 1, 1), 0.0, None),
    "pseudodojo": (silicon(), None, {"Si": str(PSEUDODOJO)}, 6.0, (2, 1, 1), 0.0, None),
}


@lru_cache
def minimum(name: str):
    atoms, xc, potentials, ecut, kpts, temperature, bands = SYSTEMS[name]
    model = dftopt.Model(
        atoms, xc=xc, pseudopotentials=potentials, spinpol=bool(atoms.get_initial_magnetic_moments().any())
    )
    basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=kpts, symmetry=False)
    r = dftopt.minimize(model, basis, temperature=temperature, nbands=bands, tol=1e-16, maxiter=3000, progress=False)
    assert r.converged, r.verdict
    return r


@lru_cache
def gradient(name: str):
    return {key: np.asarray(value) for key, value in derivative(minimum(name), ("positions", "strain")).items()}


def difference(name: str, key: str, entry: tuple[int, int]):
    """dA/dt, its four-point difference, and the largest change of the moment among the four."""
    r, h, energies, moments = minimum(name), STEP[key], [], []
    for t in (h, -h, 2 * h, -2 * h):
        inputs = r.model.inputs()
        inputs[key] = np.array(inputs[key])
        inputs[key][entry] += t
        m = dftopt.minimize(
            r.model, r.basis, temperature=r.options.temperature, nbands=r.options.nbands, tol=1e-15, maxiter=2000,
            inputs=inputs, start=r, progress=False,
        )  # fmt: skip
        assert m.converged, m.verdict
        energies.append(m.energies.free)
        moments.append(m.absolute_magnetization if r.model.nspin == 2 else 0.0)
    numeric = (8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * h)
    return gradient(name)[key][entry], numeric, np.ptp(moments)


def errors(name: str, entries=ALL) -> list[float]:
    """Relative errors, each printed."""
    found = []
    for key, entry in entries:
        exact, numeric, moved = difference(name, key, entry)
        found.append(float(abs(exact - numeric) / np.abs(gradient(name)[key]).max()))
        where = f"{key}[{entry[0]},{entry[1]}]"
        print(f"{name:16s} {where:15s} {exact:15.10f} {numeric:15.10f} {found[-1]:9.1e} {moved:9.1e}", flush=True)
    return found


def main() -> int:
    systems = chosen(__doc__, SYSTEMS)
    dftopt.enable_compilation_cache()
    print("system           component            derivative      difference    error   d|M|")
    worst = 0.0
    for name in systems:
        if name == "pseudodojo" and not PSEUDODOJO.exists():
            print(f"{name}: {PSEUDODOJO} is missing (apt-get install abinit-data)")
            continue
        r = minimum(name)
        if r.model.nspin == 2:
            print(
                f"{name:16s} magnetization {r.magnetization:.4f}, absolute {r.absolute_magnetization:.4f} bohr magnetons"
            )
        worst = max(worst, *errors(name))
    print(f"largest relative error {worst:.1e}")
    return int(worst > 1e-6)


if __name__ == "__main__":
    sys.exit(main())
