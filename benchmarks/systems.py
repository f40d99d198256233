"""The systems of the benchmarks: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ase import Atoms
from ase.build import bulk


@dataclass(frozen=True)
class System:
    """What is computed.

    Attributes:
        build: the structure.
        ecut: hartree.
        kpts: Gamma-centred mesh.
        nbands: in both codes.
        xc: functional, with the GTH family that fits it.
        temperature: width of the smearing, hartree.
        smearing: its name.
        pseudopotentials: where they are not those of the functional's GTH family.
    """

    build: Callable[[], Atoms]
    ecut: float
    kpts: tuple[int, int, int]
    nbands: int
    xc: str = "LDA"
    temperature: float = 0.0
    smearing: str = "fermi-dirac"
    pseudopotentials: Mapping[str, str] | None = None

    @property
    def agreement(self) -> float:
        """How closely the energies of two codes have to agree, hartree per atom: constants of PBE differ."""
        return 1e-7 if self.xc == "LDA" else 5e-6

    def model(self, scale: float = 1.0):
        """The `dftopt.Model`, its cell scaled."""
        import dftopt

        atoms = self.build()
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        return dftopt.Model(atoms, xc=self.xc, pseudopotentials=self.pseudopotentials)

    def basis(self, model):
        """The `dftopt.PlaneWaves` of a model of this system."""
        import dftopt

        return dftopt.PlaneWaves(model, ecut=self.ecut, kpts=self.kpts)

    def options(self, tol: float) -> dict:
        """Of `dftopt.minimize`."""
        return {"nbands": self.nbands, "temperature": self.temperature, "smearing": self.smearing, "tol": tol}


SYSTEMS = {
    "Si2": System(lambda: bulk("Si", a=5.431), 15.0, (4, 4, 4), 4),
    "Al1": System(lambda: bulk("Al", a=4.05), 15.0, (8, 8, 8), 6, temperature=0.01, smearing="marzari-vanderbilt"),
    "Al1-FD": System(lambda: bulk("Al", a=4.05), 15.0, (8, 8, 8), 6, temperature=0.01),
    "NaCl": System(
        lambda: bulk("NaCl", "rocksalt", a=5.64), 20.0, (3, 3, 3), 4, pseudopotentials={"Na": "GTH-PADE-q1"}
    ),
}
