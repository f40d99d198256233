import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from dftopt.alloy import ClusterExpansion
from dftopt.errors import DFTOptWarning

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def nbmota():
    """Structures, energies (eV per cell) and pairs of the example data."""
    structures = read(EXAMPLES / "nbmota.extxyz.gz", ":")
    energies = np.array([a.info["formation_energy"] for a in structures])
    return structures, energies, np.array([a.info["pair"] for a in structures])


@pytest.fixture(scope="session")
def binary(nbmota):
    """An expansion of Nb and Mo fitted to a third of its structures: pairs and triplets."""
    structures, energies, pair = nbmota
    rows = np.flatnonzero(pair == "NbMo")[::3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DFTOptWarning)
        return ClusterExpansion.fit(
            [structures[i] for i in rows], energies[rows], parent=bulk("Nb", "bcc", a=3.3), cutoffs=(4.7, 3.4)
        )


@pytest.fixture(scope="session")
def ternary():
    """A model of three species on bcc: pairs to the second shell with one triplet, coefficients given."""
    from dftopt.alloy import Parent

    blank = ClusterExpansion.blank(Parent.of(bulk("Nb", "bcc", a=3.3)), ("Nb", "Mo", "Ta"), (3.4, 3.4))
    values = 0.02 * np.random.default_rng(7).normal(size=len(blank.names))
    return ClusterExpansion(blank.parent, blank.species, blank.cutoffs, values)
