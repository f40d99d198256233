"""The expansion of NbMoTa that these benchmarks share."""

from pathlib import Path

from ase.build import bulk
from ase.io import read

from dftopt.alloy import ClusterExpansion

DATA = Path(__file__).resolve().parents[2] / "examples" / "nbmota.extxyz.gz"


def expansion(*cutoffs: float) -> ClusterExpansion:
    """Fitted to all structures; cutoffs of pairs, triplets, ... in angstrom."""
    structures = read(DATA, ":")
    energies = [a.info["formation_energy"] for a in structures]
    return ClusterExpansion.fit(structures, energies, parent=bulk("Nb", "bcc", a=3.3), cutoffs=cutoffs)
