"""Loewdin charges by projwfc.x (Quantum ESPRESSO) on given orbitals, with the GTH potentials written as UPF files.

The orbitals are sums of two Gaussians that vanish within the 10 bohr to which pw.x integrates; those of the free atoms
do not, which moves charges by 0.2 %.

    python tests/references/projwfc.py DIR > tests/references/projwfc.json
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.units import Bohr
from scipy.linalg import block_diag
from scipy.special import erf, gamma

from dftopt.atoms import gth

# element: potential, {label: (l, exponents, coefficients before normalization)}
ORBITALS = {
    "Ga": ("GTH-PADE-q3", {"4S": (0, [0.16, 0.5], [1, -0.9]), "4P": (1, [0.14, 0.4], [1, 0.5])}),
    "As": ("GTH-PADE-q5", {"4S": (0, [0.22, 0.7], [1, -0.8]), "4P": (1, [0.18, 0.5], [1, 0.4])}),
    "Si": ("GTH-PADE-q4", {"3S": (0, [0.18, 0.6], [1, -0.7]), "3P": (1, [0.15, 0.4], [1, 0.3])}),
    "Al": ("GTH-PADE-q3", {"3S": (0, [0.16, 0.5], [1, -0.5]), "3P": (1, [0.15, 0.35], [1, 0.2]), "3D": (2, [0.2], [1])}),
}  # fmt: skip
R = np.linspace(0, 14, 2801)


def coefficients(l, exponents, c):
    """Scaled so that the orbital is normalized."""
    p = np.add.outer(exponents, exponents)
    return np.array(c) / np.sqrt(np.array(c) @ (gamma(l + 1.5) / (2 * p ** (l + 1.5))) @ np.array(c))


def block(tag, values, **attributes):
    named = " ".join(f'{k}="{v}"' for k, v in attributes.items())
    rows = "\n".join(" ".join(f"{x: .14E}" for x in values[i : i + 4]) for i in range(0, len(values), 4))
    return f'<{tag} type="real" size="{len(values)}" columns="4" {named}>\n{rows}\n</{tag}>'


def upf(element):
    name, orbitals = ORBITALS[element]
    p = gth.load(element, name)
    x = R / p.rloc
    v = -p.charge * np.append(np.sqrt(2 / np.pi) / p.rloc, erf(x[1:] / np.sqrt(2)) / R[1:])
    v += np.exp(-(x**2) / 2) * np.polynomial.polynomial.polyval(x**2, p.cloc)
    betas = []
    for c in p.channels:
        for i in range(1, c.n + 1):
            a = c.l + (4 * i - 1) / 2
            values = np.sqrt(2 / gamma(a)) / c.r**a * R ** (c.l + 2 * i - 1) * np.exp(-(R**2) / (2 * c.r**2))
            betas.append((c.l, values))
    coupling = 2 * block_diag(*[np.array(c.h) for c in p.channels])
    cut = int(np.searchsorted(R, 8.0)) | 1
    header = (
        f'<PP_HEADER generated="" author="" date="" comment="" element="{element}" pseudo_type="NC" relativistic="scalar" '
        'is_ultrasoft="F" is_paw="F" is_coulomb="F" has_so="F" has_wfc="F" has_gipaw="F" core_correction="F" '
        f'functional="SLA PW NOGX NOGC" z_valence="{p.charge}" total_psenergy="0" wfc_cutoff="0" rho_cutoff="0" '
        f'l_max="{max(l for l, _ in betas)}" l_max_rho="0" l_local="-1" mesh_size="{len(R)}" '
        f'number_of_wfc="{len(orbitals)}" number_of_proj="{len(betas)}"/>'
    )
    out = ['<UPF version="2.0.1">', header, f'<PP_MESH mesh="{len(R)}" xmin="0" rmax="14" zmesh="0" dx="0">']
    out += [
        block("PP_R", R),
        block("PP_RAB", np.full(len(R), R[1])),
        "</PP_MESH>",
        block("PP_LOCAL", 2 * v),
        "<PP_NONLOCAL>",
    ]
    for i, (l, values) in enumerate(betas, 1):
        radii = {"cutoff_radius_index": cut, "cutoff_radius": 8, "ultrasoft_cutoff_radius": 8}
        out.append(block(f"PP_BETA.{i}", values, index=i, label="", angular_momentum=l, **radii))
    out += [block("PP_DIJ", coupling.ravel()), "</PP_NONLOCAL>", "<PP_PSWFC>"]
    density = np.zeros_like(R)
    for i, (label, (l, a, c)) in enumerate(orbitals.items(), 1):
        chi = R ** (l + 1) * (np.exp(-np.array(a) * R[:, None] ** 2) @ coefficients(l, a, c))
        filled = p.electrons[l] if l < len(p.electrons) else 0
        density += filled * chi**2
        out.append(
            block(f"PP_CHI.{i}", chi, index=i, label=label, l=l, occupation=filled, n=label[0], pseudo_energy=-0.5)
        )
    return "\n".join([*out, "</PP_PSWFC>", block("PP_RHOATOM", density), "</UPF>"]) + "\n"


def run(folder, name, atoms, ecut, occupations):
    for e in set(atoms.get_chemical_symbols()):
        (folder / f"{e}.upf").write_text(upf(e))
    species = list(dict.fromkeys(atoms.get_chemical_symbols()))
    lines = [
        f"&control calculation='scf', prefix='{name}', outdir='out', pseudo_dir='.' /",
        f"&system ibrav=0, nat={len(atoms)}, ntyp={len(species)}, ecutwfc={2 * ecut}, {occupations}, input_dft='sla+pw' /",
        "&electrons conv_thr=1e-12 /", "ATOMIC_SPECIES", *[f"{e} 1.0 {e}.upf" for e in species], "CELL_PARAMETERS bohr",
        *[" ".join(f"{x:.12f}" for x in v) for v in atoms.cell.array / Bohr], "ATOMIC_POSITIONS bohr",
        *[s + " " + " ".join(f"{x:.12f}" for x in p) for s, p in zip(atoms.get_chemical_symbols(), atoms.positions / Bohr, strict=True)],
        "K_POINTS automatic", "2 2 2 0 0 0",
    ]  # fmt: skip
    (folder / "pw.in").write_text("\n".join(lines) + "\n")
    (folder / "pr.in").write_text(f"&projwfc prefix='{name}', outdir='out', ngauss=0, degauss=0.01, DeltaE=1 /\n")
    pw = subprocess.run("pw.x -in pw.in", shell=True, cwd=folder, capture_output=True, text=True).stdout
    text = subprocess.run("projwfc.x -in pr.in", shell=True, cwd=folder, capture_output=True, text=True).stdout
    charges: dict = {}
    for line in text.splitlines():
        numbers = {k: float(v) for k, v in re.findall(r"(\w[\w-]*)\s*=\s*([\d.]+)", line.split(",", 1)[-1])}
        if line.strip().startswith("Atom #"):
            atom = charges.setdefault(line.split("#")[1].split(":")[0].strip(), {})
            atom["charge"] = float(re.search(r"total charge =\s*([\d.]+)", line)[1])
            atom.update(numbers)
        elif re.match(r"\s+(spin up|spin down|polarization)", line):
            atom.setdefault(line.split("=")[0].split()[-1], {}).update(numbers)
    spilling = float(re.search(r"Spilling Parameter:\s*([\d.]+)", text)[1])
    energy = float(re.search(r"!\s+total energy\s+=\s+(\S+)", pw)[1]) / 2
    return {"energy": energy, "spilling": spilling, "atoms": [charges[k] for k in sorted(charges)]}


def displaced_silicon():
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.05, -0.03, 0.02]
    return atoms


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    version = re.search(
        r"PWSCF v\.?(\S+)", subprocess.run("pw.x < /dev/null", shell=True, capture_output=True, text=True).stdout
    )
    out = {"source": f"pw.x and projwfc.x {version[1] if version else ''}", "orbitals": ORBITALS}
    out["GaAs"] = run(folder, "gaas", bulk("GaAs", "zincblende", a=5.65), 8.0, "occupations='fixed'")
    out["Si"] = run(folder, "si", displaced_silicon(), 6.0, "occupations='fixed'")
    metal = "occupations='smearing', smearing='fd', degauss=0.02, nbnd=8"
    out["Al"] = run(folder, "al", bulk("Al", a=4.05), 6.0, metal)
    polarized = metal + ", nspin=2, starting_magnetization(1)=0.3, tot_magnetization=0.6"
    out["Al polarized"] = run(folder, "alspin", bulk("Al", a=4.05), 6.0, polarized)
    json.dump(out, sys.stdout, indent=1)
