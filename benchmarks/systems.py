"""The systems of the benchmarks: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ase import Atoms
from ase.build import bulk, molecule


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

    def basis(self, model, like=None):
        """The `dftopt.PlaneWaves` of a model of this system, with the array sizes of another one where it fits."""
        import dftopt

        return dftopt.PlaneWaves(model, ecut=self.ecut, kpts=self.kpts, like=like)

    def options(self, tol: float) -> dict:
        """Of `dftopt.minimize`."""
        return {"nbands": self.nbands, "temperature": self.temperature, "smearing": self.smearing, "tol": tol}


def rattled(atoms: Atoms) -> Atoms:
    """Without symmetry, as in the middle of a relaxation."""
    atoms.rattle(0.02, seed=7)
    return atoms


def water() -> Atoms:
    """A molecule in a box of 10 angstrom."""
    atoms = molecule("H2O", cell=[10.0] * 3, pbc=True)
    atoms.center()
    return atoms


SYSTEMS = {
    "Si2": System(lambda: bulk("Si", a=5.431), 15.0, (4, 4, 4), 4),
    "Al1": System(lambda: bulk("Al", a=4.05), 15.0, (8, 8, 8), 6, temperature=0.01, smearing="marzari-vanderbilt"),
    "Al1-FD": System(lambda: bulk("Al", a=4.05), 15.0, (8, 8, 8), 6, temperature=0.01),
    "NaCl": System(
        lambda: bulk("NaCl", "rocksalt", a=5.64), 35.0, (3, 3, 3), 4, pseudopotentials={"Na": "GTH-PADE-q1"}
    ),
    "MgO": System(lambda: bulk("MgO", "rocksalt", a=4.21), 35.0, (3, 3, 3), 8),
    "Si8": System(lambda: rattled(bulk("Si", a=5.431, cubic=True)), 12.0, (2, 2, 2), 16),
    "Nb1": System(lambda: bulk("Nb", "bcc", a=3.3), 40.0, (6, 6, 6), 12, xc="PBE", temperature=0.005),
    "MoTa": System(lambda: bulk("MoTa", "cesiumchloride", a=3.22), 40.0, (6, 6, 6), 20, xc="PBE", temperature=0.005),
    "Si16": System(lambda: rattled(bulk("Si", a=5.431) * (2, 2, 2)), 8.0, (1, 1, 1), 32),
    "Si32": System(lambda: rattled(bulk("Si", a=5.431, cubic=True) * (2, 2, 1)), 8.0, (1, 1, 1), 64),
    "Si64": System(lambda: rattled(bulk("Si", a=5.431, cubic=True) * (2, 2, 2)), 8.0, (1, 1, 1), 128),
    "H2O": System(water, 30.0, (1, 1, 1), 4),
}
MESHES = {f"Si2-k{n}": System(lambda: bulk("Si", a=5.431), 15.0, (n, n, n), 4) for n in (4, 6, 8)}  # of `growth.py`
ALL = SYSTEMS | MESHES
