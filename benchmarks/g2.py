#!/usr/bin/env python3
"""Small molecules and hard cases: does the descent always arrive, at PySCF's energy or below?

    python benchmarks/g2.py [NAME ...] [--first 60] [--hard] [--basis 6-31g] [--xc PBE] [--level 2]

Molecules of ASE's G2 set with their moments, nothing tuned; PySCF with DIIS from the same superposed atoms, and where it does
not converge or ends higher its second-order solver. Where the descent ends lower by more than 1e-6 Ha, PySCF is started again
from our orbitals (second order): "lower" if it stays there. `--hard`: stretched bonds, radicals and transition-metal dimers, with
PySCF's second-order solver always, our trust-region Newton beside the descent, and for the lowest of ours the lowest curvature,
which is followed down where it is negative ("saddle").
"""

import argparse
import sys
import time

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2

import dftopt

XC = {"PBE": "pbe,pbe", "LDA": "lda,pw"}
HARD = {  # name: (symbols, distance in angstrom, moments)
    "H2 at 3 A": ("H2", 3.0, (1, -1)),
    "N2 at 2 A": ("N2", 2.0, (3, -3)),
    "F2 at 2.5 A": ("F2", 2.5, (1, -1)),
    "C2": ("C2", 1.24, (0, 0)),
    "O2+ stretched": ("O2", 1.8, (2, 0)),
    "NO": ("NO", 1.15, (1, 0)),
    "CN": ("CN", 1.17, (1, 0)),
    "Cr2": ("Cr2", 1.68, (6, -6)),
    "Fe2": ("Fe2", 2.02, (3, 3)),
    "Ti2": ("Ti2", 1.94, (1, 1)),
    "NiO": ("NiO", 1.63, (2, 0)),
}


def cases(options):
    if options.hard:
        for name, (symbols, distance, moments) in HARD.items():
            yield name, Atoms(symbols, positions=[[0, 0, 0], [0, 0, distance]], magmoms=moments), 0
        return
    for name in options.names or g2.names[: options.first]:
        atoms = molecule(name)
        atoms.pbc = False
        yield name, atoms, 0


def reference(atoms, spin, options, dm=None, second_order=False):
    from pyscf import dft, gto

    rows = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    mol = gto.M(atom=rows, basis=options.basis, spin=spin, verbose=0)
    mf = dft.UKS(mol) if options.unrestricted else dft.RKS(mol)
    mf.xc, mf.grids.level, mf.conv_tol = XC[options.xc], options.level, 1e-10
    if second_order:
        mf = mf.newton()
    mf.kernel(dm)
    return mf


def also_newton(model, basis, descent, fixed):
    """The lowest of descent, Newton and what lies below a saddle point, and how they came there."""
    newton = dftopt.minimize(model, basis, progress=False, minimizer="newton", **fixed)
    gap = float(newton.energies.total - descent.energies.total)
    said = f"{descent.stats['evaluations']:3d}, Newton {gap:+.1e} in {newton.stats['iterations']:2d} ({newton.stats['evaluations']:3d})"
    best = min((descent, newton), key=lambda r: (not r.converged, float(r.energies.total)))
    if not best.converged:
        return best, said
    for _ in range(3):
        found = dftopt.stability(best)
        if found.stable:
            break
        lower = dftopt.minimize(model, basis, progress=False, start=found.restart, minimizer="newton", **fixed)
        said += f", saddle ({found.curvature:.2f})"
        if not lower.converged or lower.energies.total > best.energies.total - 1e-7:
            break
        best = lower
    return best, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--first", type=int, default=60)
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--basis", default="6-31g")
    parser.add_argument("--xc", default="PBE", choices=list(XC))
    parser.add_argument("--level", type=int, default=2)
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    good = total = 0
    for name, atoms, _ in cases(options):
        start = time.perf_counter()
        moments = atoms.get_initial_magnetic_moments()
        odd = atoms.numbers.sum() % 2 == 1
        options.unrestricted = bool(odd or np.any(moments))
        model = dftopt.Model(atoms, xc=options.xc, spinpol=options.unrestricted)
        spin = round(moments.sum()) or int(odd)
        fixed = {"magnetization": float(spin)} if options.unrestricted else {}
        basis = dftopt.Gaussians(model, basis=options.basis, grid=options.level)
        r = dftopt.minimize(model, basis, progress=False, **fixed)
        ours = f"{r.stats['evaluations']:3d}"
        if options.hard:
            r, ours = also_newton(model, basis, r, fixed)
        e = float(r.energies.total)
        diis = reference(atoms, spin, options)
        best = diis.e_tot if diis.converged else np.inf
        newton = None
        if options.hard or not diis.converged or e - best > 1e-6:
            newton = reference(atoms, spin, options, second_order=True)
            best = min(best, newton.e_tot if newton.converged else np.inf)
        verdict = "same" if abs(e - best) < 1e-6 else "HIGHER" if e > best else "lower"
        if verdict == "lower" and np.isfinite(best):
            mf = r.to_pyscf()
            again = reference(atoms, spin, options, dm=mf.make_rdm1(), second_order=True)
            verdict = "lower" if again.converged and abs(again.e_tot - e) < 1e-6 else "BELOW, not confirmed"
        total += 1
        good += r.converged and verdict in ("same", "lower")
        second = (
            ""
            if newton is None
            else f", second order {newton.e_tot - e:+.1e}{'' if newton.converged else ' NOT CONVERGED'}"
        )
        print(
            f"{name:16s} {e:18.8f} Ha in {ours}  DIIS {diis.e_tot - e:+.1e} in {diis.cycles:3d}"
            f"{'' if diis.converged else ' NOT CONVERGED'}{second}  {verdict}  {time.perf_counter() - start:.1f} s  "
            f"{'' if r.converged else r.verdict}",
            flush=True,
        )
    print(f"{good} of {total} converged to PySCF's energy or to a lower solution")
    return 0 if good == total else 1


if __name__ == "__main__":
    sys.exit(main())
