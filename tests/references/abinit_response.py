"""Linear response of a polar insulator, a metal and a ferromagnet by ABINIT (rfphon, rfelfd, rfstrs), with the same GTH potentials.

`useylm 1`: without it ABINIT 9.6.2 gets the derivative in k of d projectors wrong (AlAs: dielectric constant 48.639 for 48.321).
The ferromagnet takes libxc's functional: the parameters of `ixc 7` have fewer digits, seen in its moment alone.
One atom is bound by nothing but the grid: its force constant is what 119 hartree/bohr^2 of either sign leave, and ABINIT's linear
response (2.0509e-4) is not the curvature of its own energies (2.0384e-4), which is taken instead.

    PYTHONPATH=tests:tests/references python tests/references/abinit_response.py DIR > tests/references/abinit_response.json
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr
from pwscf_boxes import psp10
from solids import SOLIDS, basis_of

NUMBER = r"(-?[\d.]+(?:[EeDd][-+]?\d+)?)"


def abinit(folder: Path, name: str) -> dict:
    """Second derivatives as ABINIT prints them: Cartesian, hartree, bohr and e."""
    solid = SOLIDS[name]
    basis, atoms = basis_of(name), solid.atoms()
    elements = list(dict.fromkeys(atoms.get_chemical_symbols()))
    for e in elements:
        (folder / f"{e}.psp10").write_text(psp10(basis.model.potentials[e]))
    metal, spin = solid.temperature > 0, bool(atoms.get_initial_magnetic_moments().any())
    rows = lambda x: "\n".join("  " + " ".join(f"{v:.14f}" for v in row) for row in x)
    last = 2 if metal else 3
    lines = [
        f"ndtset {last}", "tolvrs1 1d-20",
        *([] if metal else ["rfelfd2 2", "rfdir2 1 1 1", "tolwfr2 1d-24", "iscf2 -3", "getwfk2 1", "nqpt2 1", "qpt2 0 0 0"]),
        f"rfphon{last} 1", f"rfatpol{last} 1 {len(atoms)}", f"rfdir{last} 1 1 1", f"rfstrs{last} 3", f"tolvrs{last} 1d-14",
        f"getwfk{last} 1", f"nqpt{last} 1", f"qpt{last} 0 0 0", *([] if metal else [f"rfelfd{last} 3", f"getddk{last} 2"]),
        'pp_dirpath "."', 'pseudos "' + ", ".join(f"{e}.psp10" for e in elements) + '"',
        f"ntypat {len(elements)}", "znucl " + " ".join(str(atomic_numbers[e]) for e in elements), f"natom {len(atoms)}",
        "typat " + " ".join(str(elements.index(s) + 1) for s in atoms.get_chemical_symbols()),
        "amu " + " ".join(str(atoms.get_masses()[atoms.get_chemical_symbols().index(e)]) for e in elements),
        "acell 3*1.0", "rprim", rows(atoms.cell.array / Bohr), "xred", rows(atoms.get_scaled_positions(wrap=False)),
        f"ecut {solid.ecut}", "ngfft " + " ".join(map(str, basis.fft)),
        "ixc -001012" if spin else "ixc 7", f"nband {solid.nbands}", "nstep 300", "iomode 3",
        "kptopt 2", "ngkpt " + " ".join(map(str, solid.kpts)), "nshiftk 1", "shiftk 0 0 0", "chksymtnons 0", "nline 8", "useylm 1",
        *(["occopt 3", f"tsmear {solid.temperature}"] if metal else ["occopt 1"]),
        *(["nsppol 2", "spinat " + " ".join(f"0 0 {m}" for m in atoms.get_initial_magnetic_moments())] if spin else []),
    ]  # fmt: skip
    n, text = len(atoms), run(folder, name, lines)
    tables = blocks(text)
    directions = [(i, p) for p in range(1, n + 1) for i in (1, 2, 3)]
    strains = [(i, p) for p in (n + 3, n + 4) for i in (1, 2, 3)]
    field = [(i, n + 2) for i in (1, 2, 3)]
    matrix = lambda name, rows, columns: [[tables[name][*a, *b] for b in columns] for a in rows]
    out = {
        "free_energy": float(re.findall(r"etotal1\s+" + NUMBER, text)[0]),
        "force_constants": matrix("Dynamical matrix", directions, directions),
        "elastic_rigid_ion": matrix("Rigid-atom elastic tensor", strains, strains),
        "internal_strain": matrix("Internal strain coupling parameters", directions, strains),
    }
    if n == 1:
        out["force_constants"] = (curvature(folder, name, lines) * np.eye(3)).tolist()
    if not metal:
        out["dielectric"] = matrix("Dielectric tensor", field, field)
        out["born_charges"] = matrix("Effective charges", directions, field)
    return out


def run(folder: Path, name: str, lines: list[str]) -> str:
    """What ABINIT writes about an input."""
    (folder / f"{name}.abi").write_text("\n".join(lines) + "\n")
    subprocess.run(f"abinit {name}.abi > {name}.log 2>&1", shell=True, cwd=folder, check=True)
    return (folder / f"{name}.abo").read_text()


def curvature(folder: Path, name: str, lines: list[str]) -> float:
    """d^2A/dx^2 of the only atom of a cell, by ground states at displacements h, 2h and 4h without symmetry."""
    h = 0.02
    about, at = ("ndtset", "tolvrs", "rf", "getwfk", "nqpt", "qpt"), lines.index("xred")
    kept = [line for i, line in enumerate(lines) if i not in (at, at + 1) and not line.startswith(about)]
    places = [f"xcart{i} {m * h} 0 0" for i, m in enumerate((0, 1, 2, 4), start=1)]
    text = run(folder, f"{name}_moved", ["ndtset 4", "nsym 1", "tolvrs 1d-22", *places, *kept])
    last = [float(part.rsplit("ETOT", 1)[1].split()[1]) for part in text.split("=>converged")[:-1]]
    a, b, c = (2 * (e - last[0]) / (m * h) ** 2 for e, m in zip(last[1:], (1, 2, 4), strict=True))
    return (16 * (4 * a - b) / 3 - (4 * b - c) / 3) / 15


def blocks(text: str) -> dict:
    """Tables of Cartesian matrix elements: {title: {(direction, perturbation, direction, perturbation): value}}; the first of a title."""
    found: dict = {}
    for title, body in re.findall(
        r"\n  (\w[^\n]*?) ?, in cartesian coordinates,\n(.*?)(?=\n  \w[^\n]*, in cart|\n  Phonon|\n==)", text, re.S
    ):
        rows = re.findall(r"^\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+" + NUMBER + r"\s+" + NUMBER, body, re.M)
        found.setdefault(title, {tuple(map(int, row[:4])): float(row[4]) for row in rows})
    return found


if __name__ == "__main__":
    source = (
        "ABINIT 9.6.2 linear response (rfphon, rfelfd, rfstrs; useylm 1; the force constant of one atom: curvature of its energies), "
        "written by abinit_response.py; hartree, bohr, e"
    )
    print(json.dumps({"source": source, **{name: abinit(Path(sys.argv[1]), name) for name in SOLIDS}}, indent=1))
