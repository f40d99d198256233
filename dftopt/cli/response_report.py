"""What `dftopt response` computes and tells, one kind of quantity after the other."""

import numpy as np
from ase.units import Bohr, GPa, Hartree

from dftopt.atoms.vacuum import GOOD_TAIL, heights, largest_gaps
from dftopt.bases.gaussians import Gaussians
from dftopt.properties.linear_response.response import Response

TO_GPA = Hartree / Bohr**3 / GPa
LARGE_FORCE = 0.01  # eV/angstrom
VOIGT = ("xx", "yy", "zz", "2yz", "2xz", "2xy")


def equilibrium(log, result) -> None:
    """How far from their minimum the atoms are."""
    force = np.linalg.norm(result.forces(), axis=1).max() * Hartree / Bohr
    log(f"equilibrium     largest force {force:.1e} eV/angstrom")
    if not _is_gaussian(result) and not any(result.basis.vacuum.isolated):
        pressure = -np.trace(result.stress()) / 3 * TO_GPA
        log(f"                pressure {pressure:.3f} GPa")
    if force > LARGE_FORCE:
        log("warning: the atoms are not at their minimum. Relax them first: dftopt relax FILE.")


def everything(log, r, directions: dict | None, levels: bool) -> dict:
    """All that exists for a crystal, or for a molecule.

    Args:
        log: what is told.
        r: `Response` or `MolecularResponse`.
        directions: of longitudinal modes by name; None leaves out electric fields.
        levels: whether deformation potentials are wanted.

    Returns:
        For the JSON file.
    """
    if _is_gaussian(r.result):
        return _molecule(log, r)
    data = _displacements(log, r)
    if directions is not None:
        data |= _fields(log, r, directions)
    if levels and r.result.options.temperature == 0 and not any(r.result.basis.vacuum.isolated):
        data |= _levels(log, r)
    return data


def _is_gaussian(result) -> bool:
    return isinstance(result.basis, Gaussians)


def _surrounded(result) -> bool:
    """Whether there is vacuum on all sides."""
    gaps, _ = largest_gaps(result.model.atoms.get_scaled_positions())
    return bool(np.all(gaps * heights(result.model.structure.cell) >= 2 * GOOD_TAIL))


# ---------------------------------------------------------------------------------------------------- molecules


def _molecule(log, r) -> dict:
    modes, raw = r.phonons(), r.phonons(asr=False)
    log("\ntranslations, rotations and vibrations: " + f"{len(modes)} modes, harmonic")
    data = {"modes_cm1": modes, "modes_raw_cm1": raw, "force_constants_hartree_per_bohr2": r.force_constants()}
    return data | _infrared(log, r) | _polarizability(log, r)


def _infrared(log, r) -> dict:
    modes, strengths = r.phonons(), r.infrared()
    log("\n   mode    cm^-1       infrared (km/mol)")
    for i, (value, strength) in enumerate(zip(modes, strengths, strict=True), start=1):
        log(f"  {i:4d}  {value:12.3f}  {strength:12.3f}" + ("   imaginary" if value < -1 else ""))
    return {"infrared_km_per_mol": strengths, "dipole_derivatives": r.born_charges()}


def _polarizability(log, r) -> dict:
    alpha = r.polarizability()
    log("\npolarizability of the electrons (bohr^3)")
    for row in alpha:
        log("  " + " ".join(f"{x:10.4f}" for x in row))
    log(f"  mean {np.trace(alpha) / 3:.4f} bohr^3 = {np.trace(alpha) / 3 * Bohr**3:.4f} angstrom^3")
    return {"polarizability_bohr3": alpha}


# ---------------------------------------------------------------------------------------------------- crystals


def _displacements(log, r: Response) -> dict:
    modes, raw = r.phonons(), r.phonons(asr=False)
    log("\nmodes at Gamma (cm^-1)")
    for i, value in enumerate(modes, start=1):
        log(f"  {i:4d}  {value:12.3f}" + ("   imaginary" if value < -1 else ""))
    log(
        f"  the acoustic ones were up to {np.abs(np.sort(np.abs(raw))[:3]).max():.2f} cm^-1 before the sum rule made them vanish"
    )
    data = {"gamma_cm1": modes, "gamma_raw_cm1": raw, "force_constants_hartree_per_bohr2": r.force_constants()}
    if any(r.result.basis.vacuum.isolated):
        return data
    clamped, relaxed = r.elastic(relaxed=False), r.elastic()
    log("\nelastic constants (GPa), atoms relaxed           clamped")
    for a, b in zip(relaxed * TO_GPA, clamped * TO_GPA, strict=True):
        log("  " + " ".join(f"{x:8.2f}" for x in a) + "     " + " ".join(f"{x:8.2f}" for x in b))
    return data | {
        "elastic_hartree_per_bohr3": relaxed,
        "elastic_clamped_hartree_per_bohr3": clamped,
        "elastic_GPa": relaxed * TO_GPA,
        "elastic_energy_convention_GPa": r.elastic(convention="energy") * TO_GPA,
        "internal_strain_hartree_per_bohr": r.internal_strain(),
    }


def _fields(log, r: Response, directions: dict) -> dict:
    if r.result.options.temperature > 0:
        log(
            "\nno electric field: at a finite width of the occupations this counts as a metal. For an insulator: --occupations fixed"
        )
        return {}
    if r.result.basis.vacuum.coulomb == "2d":
        log("\nno electric field: that of a slab is not available.")
        return {}
    if _surrounded(r.result):
        return _infrared(log, r) | _polarizability(log, r)
    dielectric, charges = r.dielectric(), r.born_charges()
    log("\ndielectric tensor (ions fixed)")
    for row in dielectric:
        log("  " + " ".join(f"{x:10.4f}" for x in row))
    log("\nBorn charges (e), and their sum before it is made to vanish")
    for symbol, z in zip(r.result.model.atoms.get_chemical_symbols(), charges, strict=True):
        log(f"  {symbol:3s} " + "   ".join(" ".join(f"{x:8.4f}" for x in row) for row in z))
    log("  sum " + "   ".join(" ".join(f"{x:8.4f}" for x in row) for row in charges.sum(axis=0)))
    along = {}
    for name, q in directions.items():
        values = r.phonons_towards(q)
        along[name] = {"direction": q, "frequencies": values}
        log(f"\nmodes for q -> 0 along {name} (cm^-1): " + " ".join(f"{x:.2f}" for x in values))
    return {"dielectric": dielectric, "born_charges": charges, "longitudinal_cm1": along}


# ---------------------------------------------------------------------------------------------------- levels


def _levels(log, r: Response) -> dict:
    """Deformation potentials of the edges of the gap on the mesh, atoms relaxed."""
    e, filled = r.result.eigenvalues, r.result.options.filled
    top = max(((s, k) for s, k in np.ndindex(*e.shape[:2]) if filled[s]), key=lambda x: e[*x, filled[x[0]] - 1])
    bottom = min(((s, k) for s, k in np.ndindex(*e.shape[:2])), key=lambda x: e[*x, filled[x[0]]])
    points = [r.result.kpoints[top[1]], r.result.kpoints[bottom[1]]]
    found = r.deformation_potentials(points, max(filled) + 3)
    at = lambda point, s, band: next(
        (d for d in found if d.spin == s and d.kpoint == tuple(map(float, point)) and d.bands[0] <= band < d.bands[1]),
        None,
    )
    edges = {
        "valence": at(points[0], top[0], filled[top[0]] - 1), "conduction": at(points[1], bottom[0], filled[bottom[0]]),
    }  # fmt: skip
    log(
        "\ndeformation potentials of the edges of the gap on this mesh (eV per unit strain), atoms relaxed, means of degenerate levels;"
    )
    log(
        "absolute ones are undefined in a periodic crystal: the average electrostatic potential is kept, differences mean something"
    )
    log("                states    d/d ln V   " + " ".join(f"{name:>8s}" for name in VOIGT))
    out = {}
    for name, d in edges.items():
        if d is None:
            continue
        log(
            f"  {name:12s}  {d.bands[0] + 1:3d} to {d.bands[1]:3d}  {d.volume * Hartree:8.3f}   "
            + " ".join(f"{x * Hartree:8.3f}" for x in d.mean)
        )
        out[name] = {
            "kpoint": d.kpoint, "spin": d.spin, "bands": d.bands, "energy_hartree": d.energy, "volume_eV": d.volume * Hartree,
            "mean_eV": d.mean * Hartree, "split_eV": [d.shifts(x) * Hartree for x in np.eye(6)],
        }  # fmt: skip
    if len(out) == 2:
        change = (edges["conduction"].mean - edges["valence"].mean) * Hartree  # type: ignore[union-attr]
        log(f"  {'difference':12s}              {change[:3].sum() / 3:8.3f}   " + " ".join(f"{x:8.3f}" for x in change))
    return {"deformation_potentials": out}
