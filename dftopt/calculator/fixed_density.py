"""What a calculator hands out for k points that are not its own."""

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from ase.calculators.abc import GetOutputsMixin
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure, get_band_structure


class FixedDensity(GetOutputsMixin):
    """Levels in the potential of an earlier calculation, with ASE's getters; eV.

    Attributes:
        atoms: the structure.
        results: eigenvalues, k points and Fermi level, by ASE's names.
        path: the band path, if the k points are one.
    """

    def __init__(self, atoms: Atoms, results: dict, path: BandPath | None):
        self.atoms = atoms
        self.results = results
        self.path = path

    def _outputmixin_get_results(self) -> Mapping[str, Any]:
        return self.results

    def band_structure(self) -> BandStructure:
        """The levels as ASE's `BandStructure`; its reference is the Fermi level."""
        if self.path is None:
            return get_band_structure(calc=self)
        return BandStructure(self.path, self.results["eigenvalues"], reference=self.results["fermi_level"])
