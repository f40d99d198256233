"""Potential, density and Fermi level of an aluminium slab by pw.x and pp.x, on the potential of `projwfc.py`.

python tests/references/pwscf_slab.py DIR > tests/references/pwscf_slab.json
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from ase.build import fcc100
from ase.io.cube import read_cube
from ase.units import Bohr
from projwfc import upf

BOX = (12, 12, 45)


def slab():
    atoms = fcc100("Al", (1, 1, 2), a=4.05, vacuum=5.0)
    atoms.pbc = True
    return atoms


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    (folder / "Al.upf").write_text(upf("Al"))
    atoms = slab()
    lines = [
        "&control calculation='scf', prefix='slab', outdir='out', pseudo_dir='.' /",
        "&system ibrav=0, nat=2, ntyp=1, ecutwfc=10.0, occupations='smearing', smearing='fd', degauss=0.02, nbnd=8, input_dft='sla+pw',",
        f" nr1={BOX[0]}, nr2={BOX[1]}, nr3={BOX[2]} /",
        "&electrons conv_thr=1e-12 /", "ATOMIC_SPECIES", "Al 1.0 Al.upf", "CELL_PARAMETERS bohr",
        *[" ".join(f"{x:.12f}" for x in v) for v in atoms.cell.array / Bohr], "ATOMIC_POSITIONS bohr",
        *["Al " + " ".join(f"{x:.12f}" for x in p) for p in atoms.positions / Bohr], "K_POINTS automatic", "2 2 1 0 0 0",
    ]  # fmt: skip
    (folder / "pw.in").write_text("\n".join(lines) + "\n")
    pw = subprocess.run("pw.x -in pw.in", shell=True, cwd=folder, capture_output=True, text=True).stdout
    out = {
        "source": "pw.x and pp.x " + re.search(r"v\.?([\d.]+)", pw)[1],
        "fermi_eV": float(re.search(r"Fermi energy is\s+(\S+)", pw)[1]),
        "free_energy_hartree": float(re.search(r"!\s+total energy\s+=\s+(\S+)", pw)[1]) / 2,
    }
    for name, number, scale in (("electrostatic_hartree", 11, 0.5), ("density_per_bohr3", 0, 1.0)):
        (folder / "pp.in").write_text(
            f"&inputpp prefix='slab', outdir='out', plot_num={number}, filplot='plot' /\n"
            "&plot nfile=1, iflag=3, output_format=6, fileout='plot.cube' /\n"
        )
        subprocess.run("pp.x -in pp.in", shell=True, cwd=folder, capture_output=True)
        with open(folder / "plot.cube") as file:
            data = read_cube(file)["data"] * scale
        out[name] = [round(float(x), 8) for x in data.mean(axis=(0, 1))]
        out[name + "_column_3_5"] = [round(float(x), 8) for x in data[3, 5]]
    json.dump(out, sys.stdout, indent=1)
