"""The same calculation with Quantum ESPRESSO's pw.x: inputs and GTH potentials, runs, and what they print.

pw.x works in rydberg (2 per hartree); everything that leaves this module is in hartree and seconds. Nothing here
imports JAX, so that a benchmark's own memory does not count into pw.x's.

Reference: Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017).
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HARTREE_IN_RY = 2.0
RY_IN_EV = 13.605693122994
MISSING = "pw.x is not installed (Debian and Ubuntu: apt-get install quantum-espresso): only our own columns follow."
SMEARINGS = {"fermi-dirac": "fd", "gaussian": "gauss", "methfessel-paxton": "mp", "marzari-vanderbilt": "cold"}
FUNCTIONALS = {"LDA": "sla+pw+nogx+nogc", "PBE": "sla+pw+pbx+pbc", "PBEsol": "sla+pw+psx+psc"}
LAYOUTS = ((1, 1), (1, 2), (2, 1))  # (processes, threads of each); the best one counts

# A small process between us and the program: the peak memory that Linux reports for a child is at least that of the
# process which started it.
_MEASURE = """
import json, resource, subprocess, sys, time
t = time.perf_counter()
with open(sys.argv[1], "wb") as out:
    status = subprocess.call(sys.argv[2:], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
wall = time.perf_counter() - t
print(json.dumps([status, wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


class PWFailed(RuntimeError):
    """pw.x ended without an energy."""


@dataclass(frozen=True)
class Run:
    """What one run of pw.x printed and took.

    Attributes:
        free_energy: its "total energy", with a smearing the free energy; hartree.
        scf_error: its estimated error of that energy, hartree.
        converged: whether it says so.
        iterations: of self-consistency.
        ffts: transforms of one orbital, all k points.
        kpoints: number of them.
        fft: its grid.
        inside_seconds: wall time that it reports.
        cpu_seconds: CPU time that it reports, of one process.
        process_seconds: wall time of the process.
        peak_memory_MiB: of its largest process, times their number.
        layout: processes and threads.
    """

    free_energy: float
    scf_error: float
    converged: bool
    iterations: int
    ffts: int
    kpoints: int
    fft: tuple[int, int, int]
    inside_seconds: float
    cpu_seconds: float
    process_seconds: float
    peak_memory_MiB: float
    layout: tuple[int, int]

    def as_dict(self) -> dict:
        """Plain values."""
        return asdict(self)


def available() -> bool:
    """Whether pw.x can be started."""
    return shutil.which("pw.x") is not None


# ---------------------------------------------------------------------------------------------------- inputs


def gth_text(potential) -> str:
    """A `dftopt.atoms.gth.GTH` in ABINIT's format 10, which pw.x reads from files named *.gth."""
    from ase.data import atomic_numbers

    channels = {c.l: c for c in potential.channels}
    lmax = max(channels, default=0)
    c = list(potential.cloc)
    while c and c[-1] == 0:
        c.pop()
    xc = 1 if "PADE" in potential.name.upper() or "LDA" in potential.name.upper() else 11
    lines = [
        f"{potential.name} for {potential.element}",
        f"  {atomic_numbers[potential.element]}  {potential.charge}  070301 zatom,zion,pspdat",
        f"10 {xc} {lmax} 0 2001 0 pspcod,pspxc,lmax,lloc,mmax,r2well",
        f"  {potential.rloc:.8f} {len(c)} {' '.join(f'{x:.8f}' for x in c)}   rloc nloc c1..",
        f"  {lmax + 1}   nnonloc",
    ]
    for l in range(lmax + 1):
        # an empty s channel is written as one projector of strength zero
        r, h = (channels[l].r, channels[l].h) if l in channels else (potential.rloc, ((0.0,),))
        n = len(h)
        for i in range(n):
            start = f"  {r:.8f} {n} " if i == 0 else "      "
            lines.append(start + " ".join(f"{x:.8f}" for x in h[i][i:]) + (f"  r n h(l={l})" if i == 0 else ""))
        for i in range(n if l else 0):  # spin-orbit part
            lines.append("      " + " ".join("0.00000000" for _ in range(n - i)) + "   k")
    return "\n".join(lines) + "\n"


def write(
    folder,
    model,
    basis,
    *,
    nbands: int | None,
    temperature: float = 0.0,
    smearing: str = "fermi-dirac",
    tol: float = 1e-8,
    steps: int = 200,
    calculation: str = "scf",
    kpoints=None,
    name: str | None = None,
    verbose: bool = False,
) -> str:
    """Write the input of pw.x for a model in a basis, with its potentials, into a folder.

    Args:
        folder: where; made if missing. Runs of one folder share pw.x's saved density.
        model: the `dftopt.Model`.
        basis: the `dftopt.PlaneWaves`: cutoff, FFT grid, k mesh.
        nbands: bands; None leaves their number to pw.x.
        temperature: width of the smearing, hartree; 0 for fixed occupations.
        smearing: dftopt's name of it.
        tol: error of the energy at which to stop, hartree per atom.
        steps: of self-consistency at most.
        calculation: "scf" or "bands".
        kpoints: fractional k points for bands.
        name: of the input; default `calculation`.
        verbose: print all eigenvalues.

    Returns:
        The name, for `run`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if model.functional.name not in FUNCTIONALS:
        raise ValueError(f"pw.x has no name for {model.functional.name!r} here; known: {', '.join(FUNCTIONALS)}")
    name = name or calculation
    s = model.structure
    kinds = [
        (s.species[i], float(m))
        for i, m in zip(s.species_of, s.moments if model.spinpol else [0.0] * len(s), strict=True)
    ]
    labels = {kind: f"{kind[0]}{i}" for i, kind in enumerate(dict.fromkeys(kinds), 1)}  # atoms of one starting moment
    for element in s.species:
        (folder / f"{element}.gth").write_text(gth_text(model.potentials[element]))
    occupations = "occupations='fixed'"
    if temperature > 0:
        width = temperature * HARTREE_IN_RY
        occupations = f"occupations='smearing', smearing='{SMEARINGS[smearing]}', degauss={width!r}"
    lines = [
        "&CONTROL",
        f"  calculation='{calculation}', outdir='./out', prefix='x', pseudo_dir='./', disk_io='low'"
        + (", verbosity='high'" if verbose else ""),
        "/",
        "&SYSTEM",
        f"  ibrav=0, nat={len(s)}, ntyp={len(labels)}, ecutwfc={HARTREE_IN_RY * basis.ecut!r}"
        + ("" if nbands is None else f", nbnd={nbands}"),
        f"  input_dft='{FUNCTIONALS[model.functional.name]}', {occupations}",
        "  nr1={}, nr2={}, nr3={}".format(*basis.fft),
        *_spin(model, labels),
        "/",
        "&ELECTRONS",
        f"  conv_thr={HARTREE_IN_RY * tol * len(s):.6e}, electron_maxstep={steps}",
        "/",
        "ATOMIC_SPECIES",
        *(f"{label} 1.0 {element}.gth" for (element, _), label in labels.items()),
        "CELL_PARAMETERS bohr",
        *(" ".join(f"{x:.16g}" for x in row) for row in s.cell),
        "ATOMIC_POSITIONS crystal",
        *(f"{labels[kind]} " + " ".join(f"{x:.16g}" for x in row) for kind, row in zip(kinds, s.frac, strict=True)),
        *_kpoints(basis, kpoints),
    ]
    (folder / f"{name}.in").write_text("\n".join(lines) + "\n")
    return name


def _spin(model, labels) -> list[str]:
    """Two spins with the starting moments of a polarized model, as parts of the valence electrons."""
    if not model.spinpol:
        return []
    parts = [moment / model.potentials[element].charge for element, moment in labels]
    return ["  nspin=2, " + ", ".join(f"starting_magnetization({i})={x!r}" for i, x in enumerate(parts, 1))]


def _kpoints(basis, explicit) -> list[str]:
    if explicit is not None:
        rows = [" ".join(f"{x:.12f}" for x in k) + " 1.0" for k in explicit]
        return ["K_POINTS crystal", str(len(rows)), *rows]
    points = basis.kpoints
    if points.size is None:
        rows = [" ".join(f"{x:.12f}" for x in k) + f" {w!r}" for k, w in zip(points.k, points.weights, strict=True)]
        return ["K_POINTS crystal", str(len(rows)), *rows]
    shift = [{0.0: 0, 0.5: 1}[x] for x in points.shift]  # all the shifts that pw.x knows
    if tuple(points.size) == (1, 1, 1) and not any(shift):
        return ["K_POINTS gamma"]  # real orbitals at half the cost, as its users run it
    return ["K_POINTS automatic", " ".join(map(str, (*points.size, *shift)))]


# ---------------------------------------------------------------------------------------------------- runs


def measured(
    command: list[str], output: Path, cwd: Path, env: dict, limit: float | None = None
) -> tuple[int, float, float]:
    """Exit status, wall seconds and peak memory (MiB) of a command; killed after so many seconds."""
    wrapped = command if limit is None else ["timeout", "--kill-after=5", f"{limit:g}", *command]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, str(output), *wrapped],
        cwd=cwd, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    status, wall, memory = json.loads(done.stdout)
    return int(status), float(wall), float(memory)


def launch(folder, name: str, layout: tuple[int, int] = (1, 1), limit: float | None = None) -> tuple[str, float, float]:
    """Run pw.x on an input written by `write`; what it printed, wall seconds, MiB.

    Raises:
        PWFailed: with the end of what it printed.
        subprocess.TimeoutExpired: it took longer than `limit` seconds.
    """
    folder = Path(folder).resolve()
    processes, threads = layout
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    command = ["pw.x", "-i", f"{name}.in"]
    if processes > 1:
        env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        command = ["mpirun", "-n", str(processes), "--oversubscribe", *command]
    output = folder / f"{name}.out"
    status, wall, memory = measured(command, output, folder, env, limit)
    if limit is not None and status in (124, 137):
        raise subprocess.TimeoutExpired(command, limit)
    text = output.read_text(errors="replace")
    if status or "JOB DONE" not in text:
        raise PWFailed(f"pw.x ended with status {status}; the end of {output}:\n" + "\n".join(text.splitlines()[-15:]))
    return text, wall, memory * processes


def run(folder, name: str = "scf", layouts=LAYOUTS, repeat: int = 1) -> Run:
    """Run an scf input with each layout; the one with the least process time (medians over repetitions)."""
    best: Run | None = None
    for layout in layouts:
        if layout[0] > 1 and shutil.which("mpirun") is None:
            continue
        runs = []
        for _ in range(repeat):
            shutil.rmtree(Path(folder) / "out", ignore_errors=True)
            text, wall, memory = launch(folder, name, layout)
            runs.append(parse(text, wall, memory, layout))
        median = Run(
            **{
                **runs[0].as_dict(),
                "inside_seconds": statistics.median(r.inside_seconds for r in runs),
                "cpu_seconds": statistics.median(r.cpu_seconds for r in runs),
                "process_seconds": statistics.median(r.process_seconds for r in runs),
                "peak_memory_MiB": max(r.peak_memory_MiB for r in runs),
            }
        )
        if best is None or median.process_seconds < best.process_seconds:
            best = median
    if best is None:
        raise PWFailed("no layout could be run")
    return best


# ---------------------------------------------------------------------------------------------------- output

_FLOAT = r"(-?\d+\.\d+(?:[EeDd][-+]?\d+)?)"


def _last(pattern: str, text: str, default: str | None = None) -> str:
    found = re.findall(pattern, text)
    if not found:
        if default is None:
            raise PWFailed(f"pw.x did not print what matches {pattern!r}")
        return default
    return found[-1]


def seconds(text: str) -> float:
    """Pw.x's durations: "0.84s", "1m 2.50s", "1h 2m"."""
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(float(value) * units[unit] for value, unit in re.findall(r"([\d.]+)\s*([dhms])", text))


def parse(text: str, wall: float, memory: float, layout=(1, 1)) -> Run:
    """Numbers of an scf run."""
    grid = re.findall(r"FFT dimensions:\s*\(\s*(\d+),\s*(\d+),\s*(\d+)\)", text)[0]
    return Run(
        free_energy=float(_last(rf"!\s+total energy\s+=\s+{_FLOAT}", text)) / HARTREE_IN_RY,
        scf_error=float(_last(r"estimated scf accuracy\s+<\s+(\S+) Ry", text).replace("D", "E")) / HARTREE_IN_RY,
        converged="convergence has been achieved" in text,
        iterations=int(_last(r"convergence has been achieved in\s+(\d+) iterations", text, "0")),
        ffts=int(_last(r"fftw\s*:.*\(\s*(\d+) calls\)", text, "0")),
        kpoints=int(_last(r"number of k points=\s*(\d+)", text)),
        fft=(int(grid[0]), int(grid[1]), int(grid[2])),
        inside_seconds=seconds(_last(r"PWSCF\s*:.*CPU\s+(.*?)\s*WALL", text)),
        cpu_seconds=seconds(_last(r"PWSCF\s*:\s*(.*?)\s*CPU", text)),
        process_seconds=wall,
        peak_memory_MiB=memory,
        layout=tuple(layout),
    )


def eigenvalues(text: str) -> list[list[float]]:
    """Eigenvalues (k, band) of the last block that a verbose run printed, in eV."""
    block = re.split(r"End of (?:self-consistent|band structure) calculation", text)[-1]
    out = []
    for part in re.split(r"\n\s+k\s*=.*\(\s*\d+ PWs\)\s+bands \(ev\):\s*\n", block)[1:]:
        levels = re.match(r"\s*((?:-?\d+\.\d+\s*)+)", part)
        if levels is None:
            raise PWFailed("eigenvalues of pw.x could not be read")
        out.append([float(x) for x in re.findall(r"-?\d+\.\d{4}", levels.group(1))])
    return out
