#!/usr/bin/env python3
"""Below the energy of a basis set: orbitals deformed by an invertible map, and the same energy by other means.

    python benchmarks/local_scaling.py [H2O ...] [--basis 6-31g] [--xc PBE] [--level 2] [--maxiter 200] [--check 5]

For each molecule: the plain minimum, the energy with deformed orbitals, the error of their orthonormality, and both energies
on a finer grid. "Independent": the deformed orbitals at the points of another grid, reached through the inverse map; libxc;
the Hartree energy with fitting functions from PySCF's library and its integrals. Fits are lower bounds: the largest counts.
"""

import argparse
import sys
import time

import numpy as np
from molecules import plain

import dftopt
from dftopt.bases import quadrature

XC = {"PBE": "pbe,pbe", "LDA": "lda,pw"}
FITS = ("def2-universal-jkfit", "cc-pv5z-jkfit", "aug-cc-pv5z-ri")


def independent(found, xc: str, level: int) -> dict[str, float]:
    """Energies of a closed shell by name, hartree; Hartree energies by fit."""
    from pyscf import dft, gto

    mol = found.result.basis.mol
    grid = quadrature.points(mol, level)
    g = np.concatenate([found.orbitals(c)[0] for c in np.array_split(grid.coords, 40)], axis=2)
    rho = np.concatenate([2 * np.sum(g[:, :1] ** 2, axis=0), 4 * np.sum(g[:, :1] * g[:, 1:], axis=0)])
    n = grid.weights * rho[0]
    distance = np.linalg.norm(grid.coords[:, None] - mol.atom_coords(), axis=-1)
    out = {
        "electrons": n.sum(),
        "orthonormality": np.abs(np.einsum("ip,jp,p->ij", g[:, 0], g[:, 0], grid.weights) - np.eye(len(g))).max(),
        "kinetic": np.einsum("icp,p->", g[:, 1:] ** 2, grid.weights),
        "local": -n @ np.sum(mol.atom_charges() / distance, axis=1),
        "xc": n @ dft.libxc.eval_xc(XC[xc], rho if xc != "LDA" else rho[0])[0],
    }
    for name in FITS:
        aux = gto.M(atom=mol.atom, unit="Bohr", basis=name, spin=None, verbose=0)
        parts = np.array_split(np.arange(len(n)), 40)
        b = sum(gto.intor_cross("int2c2e", aux, gto.fakemol_for_charges(grid.coords[i])) @ n[i] for i in parts)
        values, vectors = np.linalg.eigh(aux.intor("int2c2e"))
        kept = values > 1e-10 * values[-1]
        out[name] = 0.5 * np.sum((b @ vectors)[kept] ** 2 / values[kept])
    hartree = max(out[name] for name in FITS)
    out["total"] = out["kinetic"] + out["local"] + out["xc"] + hartree + float(found.energies.ewald)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=["H2O"])
    parser.add_argument("--basis", default="6-31g")
    parser.add_argument("--xc", default="PBE", choices=list(XC))
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--maxiter", type=int, default=200)
    parser.add_argument("--check", type=int, default=5)
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    for name in options.systems:
        model = dftopt.Model(plain(name), xc=options.xc)
        basis = dftopt.Gaussians(model, basis=options.basis, grid=options.level)
        result = dftopt.minimize(model, basis, tol=1e-10, progress=False)
        fine = dftopt.Gaussians(model, basis=options.basis, grid=options.check)
        finer = float(dftopt.minimize(model, fine, tol=1e-10, start=result, progress=False).energies.total)
        start = time.perf_counter()
        found = dftopt.local_scaling(result, maxiter=options.maxiter)
        seconds = time.perf_counter() - start
        print(
            f"{name}/{options.basis} {options.xc}: plain {result.energies.total:.8f} Ha, deformed {found.energies.total:.8f} Ha, gain "
            f"{found.gain:.6f} Ha in {len(found.history) - 1} steps, {seconds:.0f} s, predicted error {found.error:.0e} Ha per atom",
            flush=True,
        )
        again = found.energies_on(options.check, highest=5, ratio=1.8)
        gain = finer - again.total
        print(
            f"  level {options.check}, more fitting functions: plain {finer:.8f}, deformed {again.total:.8f}, gain {gain:.6f} Ha"
        )
        places = found.places(basis.points.coords)
        move = np.linalg.norm(places.x - basis.points.coords, axis=1).max()
        print(
            f"  points move by at most {move:.3f} bohr, largest |grad u| {float(places.stretch.max()):.3f} (< 1)",
            flush=True,
        )
        other = independent(found, options.xc, options.check)
        print(
            f"  independent, level {options.check}: orthonormal to {other['orthonormality']:.1e}, electrons {other['electrons']:.8f}, "
            f"total {other['total']:.8f} Ha ({other['total'] - again.total:+.1e}), gain {finer - other['total']:.6f} Ha"
        )
        parts = [f"{k} {other[k] - getattr(again, k):+.1e}" for k in ("kinetic", "local", "xc")]
        fits = [f"{k} {other[k] - again.hartree:+.1e}" for k in FITS]
        print("  differences (Ha): " + ", ".join(parts) + "; Hartree energy with " + ", ".join(fits))
    return 0


if __name__ == "__main__":
    sys.exit(main())
