"""Many small crystals: in one call, one after another, and with pw.x; structures per minute.

    python benchmarks/batch.py [--kind silicon nbmota] [--count 64] [--repeat 2] [--json FILE]

`silicon`: diamond with every atom moved by 0.03 angstrom, so that no two are alike (LDA, 8 Ha, 2x2x2, no symmetry).
`nbmota`: two-atom cells of Nb, Mo and Ta of nine compositions and slightly different edges, metals (PBE, 8 Ha, 2x2x2).
Times are warm: every program is compiled, each structure has positions of its own. pw.x runs one process per core, each on
its share of the list, which is the fastest way to run many small jobs with it. Energies of both ways of ours and of pw.x are
compared.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pwx
from ase import Atoms
from ase.build import bulk


def silicon(i: int) -> Atoms:
    atoms = bulk("Si", a=5.43)
    atoms.rattle(0.03, seed=i)
    return atoms


def nbmota(i: int) -> Atoms:
    pair = [("Nb", "Mo", "Ta")[i % 3], ("Nb", "Mo", "Ta")[i // 3 % 3]]
    atoms = Atoms(pair, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.22 + 0.0005 * i] * 3, pbc=True)
    return atoms


KINDS: dict[str, tuple[Callable[[int], Atoms], dict, dict]] = {  # structures, of the basis, of minimize
    "silicon": (silicon, {"ecut": 8.0, "kpts": (2, 2, 2), "xc": "LDA"}, {"nbands": 6}),
    "nbmota": (nbmota, {"ecut": 8.0, "kpts": (2, 2, 2), "xc": "PBE"}, {"temperature": 0.01, "nbands": 20}),
}
TOL = 1e-8


def measure(kind: str, count: int, repeat: int) -> dict:
    """Seconds of each way, and how far energies are apart."""
    import dftopt

    build, options, minimize = KINDS[kind]
    models = [dftopt.Model(build(i), xc=options["xc"]) for i in range(count)]
    begun = time.perf_counter()
    bases = dftopt.PlaneWaves.alike(models, ecut=options["ecut"], kpts=options["kpts"])
    seconds = {"bases": time.perf_counter() - begun}
    given = {**minimize, "tol": TOL, "progress": False}
    ways = {
        "together": lambda: dftopt.minimize(models, bases, **given),
        "alone": lambda: [dftopt.minimize(m, b, **given) for m, b in zip(models, bases, strict=True)],
    }
    for way in ways.values():
        way()
    results: dict = {}
    for name, way in ways.items():
        taken = []
        for _ in range(repeat):
            begun = time.perf_counter()
            results[name] = way()
            taken.append(time.perf_counter() - begun)
        seconds[name] = min(taken)
    free = {name: np.array([float(r.energies.free) for r in found]) for name, found in results.items()}
    row = {
        "kind": kind,
        "count": count,
        "converged": sum(r.converged for r in results["together"]),
        "apart": float(np.abs(free["together"] - free["alone"]).max()),
        "seconds": seconds,
        "shapes": len({(b.nk, b.fft, b.npw) for b in bases}),
    }
    if pwx.available():
        energies, seconds["pw.x"] = theirs(models, bases, minimize)
        row["pw.x apart per atom"] = float(np.abs(free["together"] - energies).max() / len(models[0].atoms))
    return row


def theirs(models, bases, options: dict) -> tuple[np.ndarray, float]:
    """Free energies of pw.x, and the seconds of all runs, one process per core."""
    import dftopt

    with tempfile.TemporaryDirectory() as folder:
        places = []
        for i, (model, basis) in enumerate(zip(models, bases, strict=True)):
            places.append(Path(folder) / str(i))
            pwx.write(places[-1], model, basis, tol=TOL, **options)

        def one(place: Path) -> float:
            return pwx.parse(*pwx.launch(place, "scf")).free_energy

        begun = time.perf_counter()
        with ThreadPoolExecutor(dftopt.use_cores()) as pool:
            energies = np.array(list(pool.map(one, places)))
        return energies, time.perf_counter() - begun


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    import dftopt

    warnings.simplefilter("ignore")
    dftopt.use_cores()
    dftopt.enable_compilation_cache()
    rows = []
    for kind in given.kind:
        rows.append(measure(kind, given.count, given.repeat))
        row, s = rows[-1], rows[-1]["seconds"]
        rate = "   ".join(
            f"{way} {60 * row['count'] / s[way]:.0f}" for way in ("together", "alone", "pw.x") if way in s
        )
        print(
            f"{kind}: {row['converged']} of {row['count']} converged, {row['shapes']} shapes; structures per minute: {rate}"
        )
        print(
            f"  together is {s['alone'] / s['together']:.2f} times as fast as one after another"
            + (f", {s['pw.x'] / s['together']:.2f} times as fast as pw.x" if "pw.x" in s else "")
        )
        print(
            f"  energies: {row['apart']:.1e} Ha from those alone"
            + (f", {row['pw.x apart per atom']:.1e} Ha per atom from pw.x" if "pw.x" in s else "")
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
