"""Plane waves: cutoff, k points, grids. Static, NumPy; nothing here is differentiated."""

from functools import cached_property

import numpy as np

from dftopt.atoms import checks, kpoints
from dftopt.atoms.structure import reciprocal
from dftopt.atoms.symmetry import Stars, find_symmetry, no_symmetry, stars
from dftopt.bases import grid
from dftopt.bases.transforms import box_maps
from dftopt.errors import InputError

PAD = 16  # plane waves are padded to a multiple of this, so that nearby structures share shapes


class PlaneWaves:
    """A plane-wave basis for a model.

    Orbitals hold all plane waves with |k + G|^2 / 2 <= ecut; the grid holds their products without aliasing.

    Args:
        model: the `dftopt.Model`.
        ecut: kinetic-energy cutoff, hartree.
        kpts: mesh (n1, n2, n3), Gamma-centred unless shifted, or explicit fractional points (n, 3) with weights.
        shift: shift of the mesh in mesh steps, such as (0.5, 0.5, 0.5).
        symmetry: reduce k points by crystal symmetry and time reversal, and average the density accordingly.
        weights: weights of explicit points, sum 1.
        fft: grid points per axis; default the smallest 2-3-5 box that holds twice the largest G.
        coulomb: only "periodic" in this version.
        dipole_correction: only False in this version.

    Raises:
        InputError: bad cutoff, mesh, grid or a structure that is not periodic, before anything is allocated.
    """

    def __init__(
        self,
        model,
        ecut: float = 15.0,
        kpts=(1, 1, 1),
        shift=(0, 0, 0),
        symmetry: bool = True,
        weights=None,
        fft=None,
        coulomb: str = "periodic",
        dipole_correction: bool = False,
    ):
        checks.check_atoms(model.atoms, force=model.force)
        self.ecut = checks.check_positive("ecut", ecut, "hartree", "Typical values are 10 to 40 hartree.")
        if coulomb != "periodic":
            raise InputError(f"coulomb={coulomb!r} is not available yet: only 'periodic'.")
        if dipole_correction:
            raise InputError("dipole_correction=True is not available yet. Leave it at False.")
        self.model = model
        self.symmetry_asked = bool(symmetry)
        s = model.structure
        self._refuse_unallocatable()
        found = (
            find_symmetry(s.cell, s.frac, s.numbers, s.moments if model.spinpol else None)
            if symmetry
            else no_symmetry(len(s))
        )
        self.crystal_symmetry = found
        self.kpoints = kpoints.from_input(kpts, found, shift=shift, weights=weights, reduce=symmetry)
        self.fft = self._choose_fft(fft)

    def _refuse_unallocatable(self) -> None:
        s = self.model.structure
        waves = s.volume * (2 * self.ecut) ** 1.5 / (6 * np.pi**2)
        gib = waves * 8 * 16 * 6 / 2**30  # a few arrays on a grid that has about 8 points per plane wave and more
        limit = checks.memory_limit_gib()
        if gib > limit:
            raise InputError(
                f"ecut = {self.ecut:g} hartree for a cell of {s.volume:.0f} bohr^3 needs about {waves:.2g} plane waves and "
                f"{gib:.3g} GiB for the grid alone; this machine has {limit:.1f} GiB. Lower ecut (hartree, not Ry or eV) "
                "or the cell."
            )

    def _choose_fft(self, fft) -> tuple[int, int, int]:
        need = 2 * grid.largest_indices(self.model.structure.cell, 2 * np.sqrt(2 * self.ecut)) + 1
        if fft is None:
            return tuple(grid.next_smooth(int(n)) for n in need)  # type: ignore[return-value]
        try:
            given = tuple(int(n) for n in fft)
        except (TypeError, ValueError):
            given = ()
        if (
            len(given) != 3
            or any(float(a) != b for a, b in zip(fft, given, strict=True))
            or np.any(np.array(given) < need)
        ):
            raise InputError(
                f"fft = {fft!r}: the grid needs three whole numbers, at least {tuple(int(n) for n in need)} to hold twice "
                f"the largest G of ecut = {self.ecut:g} hartree. Leave it out to have it chosen."
            )
        return given  # type: ignore[return-value]

    @property
    def nk(self) -> int:
        """Number of k points used."""
        return len(self.kpoints.k)

    @cached_property
    def spheres(self) -> list[np.ndarray]:
        """Integer G (n, 3) of each k point."""
        return self.spheres_at(self.kpoints.k)

    def spheres_at(self, k) -> list[np.ndarray]:
        """Integer G (n, 3) with |k + G|^2 / 2 <= ecut for each fractional k."""
        return [grid.sphere(self.model.structure.cell, np.sqrt(2 * self.ecut), x) for x in k]

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of plane waves at each k point."""
        return np.array([len(s) for s in self.spheres])

    @cached_property
    def npw(self) -> int:
        """Padded number of plane waves, equal for all k points."""
        return int(-(-self.counts.max() // PAD) * PAD)

    @cached_property
    def maps(self):
        """See `transforms.box_maps`."""
        return box_maps(self.spheres, self.fft, self.npw)

    @cached_property
    def half_axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Integer indices along each axis of the half grid."""
        return grid.half_grid(self.fft)

    @cached_property
    def multiplicity(self) -> np.ndarray:
        """(n3 // 2 + 1,): 2 for planes of the half grid that stand for G and -G, else 1."""
        m = np.full(self.fft[2] // 2 + 1, 2.0)
        m[0] = 1.0
        if self.fft[2] % 2 == 0:
            m[-1] = 1.0
        return m

    @cached_property
    def stars(self) -> Stars | None:
        """Stars of the density's G vectors under the symmetry of the k points; None without symmetry."""
        if len(self.kpoints.symmetry) == 1:
            return None
        return stars(self.kpoints.symmetry, self.density_sphere)

    @cached_property
    def density_sphere(self) -> np.ndarray:
        """Integer G (n, 3) of the density: |G| <= 2 sqrt(2 ecut)."""
        return grid.sphere(self.model.structure.cell, 2 * np.sqrt(2 * self.ecut))

    def q(self, cell) -> np.ndarray:
        """Cartesian k + G (k, npw, 3) at the undeformed cell; zero on padding."""
        out = np.zeros((self.nk, self.npw, 3))
        b = reciprocal(np.asarray(cell))
        for i, (k, sphere) in enumerate(zip(self.kpoints.k, self.spheres, strict=True)):
            out[i, : len(sphere)] = (sphere + k) @ b
        return out

    def __repr__(self) -> str:
        size = "x".join(map(str, self.kpoints.size)) if self.kpoints.size else "explicit"
        return f"PlaneWaves(ecut={self.ecut:g} Ha, k points {size} -> {self.nk}, fft={self.fft})"
