"""Silicon from Python: free energy by component, forces, stress, band gap. Hartree and bohr."""

from ase.build import bulk

import dftopt

atoms = bulk("Si", a=5.43)
model = dftopt.Model(atoms, xc="PBE")
basis = dftopt.PlaneWaves(model, ecut=12.0, kpts=(4, 4, 4))
result = dftopt.minimize(model, basis, tol=1e-10)

for name in ("kinetic", "local", "nonlocal_", "hartree", "xc", "ewald", "free"):
    print(f"{name:10s} {float(getattr(result.energies, name)):16.8f}")
print("forces", result.forces())
print("stress", result.stress())
print("gap", float(result.gap))
