"""Charged cells, and a slab with a dipole correction or a cut interaction, by pw.x with the same GTH potentials.

The cut interaction wants the long-ranged part of the potentials from UPF files, on which they are written there.

    PYTHONPATH=tests python tests/references/pwscf_boxes.py DIR > tests/references/pwscf_boxes.json
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr
from boxes import CHARGED, SLAB, gallium_arsenide, potentials_of
from potential_files import logarithmic_mesh, upf2

from dftopt.atoms import gth

SAWTOOTH = "edir=3, emaxpos=0.95, eopreg=0.1, eamp=0,"


def psp10(p):
    """A GTH potential in ABINIT's format, which pw.x reads from files named *.gth."""
    channels = {c.l: c for c in p.channels}
    top = max(channels, default=0)
    n = max([i + 1 for i, c in enumerate(p.cloc) if c], default=0)
    lines = [p.name, f"{atomic_numbers[p.element]} {p.charge} 070301", f"10 1 {top} 0 2001 0"]
    lines += [f"{p.rloc} {n} " + " ".join(map(str, p.cloc[:n])), str(top + 1)]
    for l in range(top + 1):
        h = np.array(channels[l].h) if l in channels else np.zeros((1, 1))
        rows = [" ".join(map(str, row[i:])) for i, row in enumerate(h)]
        lines += [f"{channels[l].r if l in channels else p.rloc} {len(h)} {rows[0]}", *rows[1:]]
        lines += [" ".join("0.0" for _ in row[i:]) for i, row in enumerate(h)] if l else []
    return "\n".join(lines) + "\n"


def run(folder, name, atoms, ecut, kpts, fft, system="", control="", nbnd=None, temperature=0.0, as_upf=False):
    found = {e: gth.load(e, potential) for e, potential in potentials_of(atoms).items()}
    end = "upf" if as_upf else "gth"
    for e, p in found.items():
        mesh = logarithmic_mesh(first=1e-5, dx=0.006)
        (folder / f"{e}.{end}").write_text(upf2(p, mesh=mesh, functional="SLA PW NOGX NOGC") if as_upf else psp10(p))
    smearing = f"occupations='smearing', smearing='fd', degauss={2 * temperature}," if temperature else ""
    order = list(dict.fromkeys(atoms.get_chemical_symbols()))
    lines = [
        f"&control prefix='{name}', outdir='out', pseudo_dir='.', disk_io='none', tprnfor=.true., tstress=.true., {control} /",
        f"&system ibrav=0, nat={len(atoms)}, ntyp={len(order)}, ecutwfc={2 * ecut}, input_dft='sla+pw+nogx+nogc', nosym=.true., {smearing}",
        f" nr1={fft[0]}, nr2={fft[1]}, nr3={fft[2]}, {f'nbnd={nbnd},' if nbnd else ''} {system} /",
        "&electrons conv_thr=1e-13, mixing_beta=0.4, electron_maxstep=200 /", "ATOMIC_SPECIES", *[f"{e} 1.0 {e}.{end}" for e in order],
        "CELL_PARAMETERS bohr", *[" ".join(f"{x:.14f}" for x in v) for v in atoms.cell.array / Bohr], "ATOMIC_POSITIONS bohr",
        *[s + " " + " ".join(f"{x:.14f}" for x in p) for s, p in zip(atoms.get_chemical_symbols(), atoms.positions / Bohr, strict=True)],
        "K_POINTS automatic", " ".join(map(str, kpts)) + " 0 0 0",
    ]  # fmt: skip
    (folder / "pw.in").write_text("\n".join(lines) + "\n")
    text = subprocess.run("pw.x -in pw.in", shell=True, cwd=folder, capture_output=True, text=True).stdout
    number = r"\s+(-?[\d.]+)" * 3
    forces = re.findall(r"atom\s+\d+ type\s+\d+   force =" + number, text)[: len(atoms)]
    stress = re.search(r"total   stress.*\n((?:.*\n){3})", text)
    out = {
        "energy": float(re.search(r"!\s+total energy\s+=\s+(\S+)", text)[1]) / 2,
        "hartree": float(re.search(r"hartree contribution\s+=\s+(\S+)", text)[1]) / 2,
        "ewald": float(re.search(r"ewald contribution\s+=\s+(\S+)", text)[1]) / 2,
        "forces": (np.array(forces, float) / 2).tolist(),
    }
    if stress:
        s = -np.array([line.split()[:3] for line in stress[1].splitlines()], float) / 2
        out |= {"stress": s.tolist()} if as_upf else {"pressure_part_of_stress": float(np.trace(s) / 3)}
    return out


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    version = subprocess.run("pw.x < /dev/null", shell=True, capture_output=True, text=True, cwd=folder).stdout
    out = {"source": f"pw.x {re.search(r'PWSCF v[.]?(?P<v>[^ ]+)', version)['v']}, hartree and bohr"}
    for name, (atoms, charge, ecut, kpts, temperature, bands, fft) in CHARGED.items():
        q = f"tot_charge={charge},"
        out[name] = run(folder, "charged", atoms(), ecut, kpts, fft, q, "", bands, temperature)
    slab = (gallium_arsenide(), SLAB["ecut"], (1, 1, 1), SLAB["fft"])
    out["slab periodic"] = run(folder, "slab", *slab)
    out["slab dipole"] = run(folder, "slab", *slab, SAWTOOTH, "tefield=.true., dipfield=.true.")
    out["slab 2d"] = run(folder, "slab", *slab, "assume_isolated='2D'", as_upf=True)
    json.dump(out, sys.stdout, indent=1)
