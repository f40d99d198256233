"""Plane waves: cutoff, k points, grids. Static, NumPy; nothing here is differentiated."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from dftopt.atoms import checks, kpoints
from dftopt.atoms.structure import reciprocal
from dftopt.atoms.symmetry import NearSymmetry, Stars, find_symmetry, near_symmetry, no_symmetry, stars
from dftopt.atoms.tabulated import check_reach
from dftopt.atoms.vacuum import find_vacuum
from dftopt.bases import grid
from dftopt.bases.sizes import Sizes, rows_for
from dftopt.bases.transforms import box_maps, extent
from dftopt.errors import DFTOptWarning, InputError
from dftopt.units import HARTREE_IN_EV

PAD = 16  # plane waves are padded to a multiple of this, so that nearby structures share shapes

UNUSUAL = 250.0  # hartree; beyond it another unit was probably meant


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
        coulomb: interaction of the charges: "periodic", or cut so that a copy is not felt: "0d" for molecules, "2d" for
            slabs (along the axis that is not periodic, else that of the widest vacuum). The cell has to hold twice the
            atoms and their electrons; `atoms.pbc` may then be False along the axes of the cut.
        dipole_correction: take away the field that the dipoles of a periodic row of slabs make.
        like: an earlier basis (or its `sizes`): the sizes of its arrays are kept where this structure fits into them, so
            that nothing is compiled again. Cutoff and plane waves are this structure's own; padding is masked. An FFT
            box of the earlier structure that is larger than needed is kept too: exchange and correlation are then summed
            on a finer grid (a smooth energy against volume wants one grid for all).
        room: fraction by which cell vectors may grow before sizes change, the FFT box excepted.

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
        like: "PlaneWaves | Mapping[str, int] | None" = None,
        room: float = 0.0,
    ):
        checks.check_atoms(model.atoms, periodic=(False, False, False), needs_cell=True, force=model.force)
        self.model = model
        s = model.structure
        dipole = checks.check_truth("dipole_correction", dipole_correction)
        self.vacuum = find_vacuum(s, coulomb, dipole, model.atoms.pbc, model.charge, model.force)
        checks.check_periodic(model.atoms, self.vacuum.repeated)
        self.ecut = checks.check_positive("ecut", ecut, "hartree", "Typical values are 10 to 40 hartree.")
        check_reach(model.potentials.values(), self.ecut)
        self.symmetry_asked = symmetry = checks.check_truth("symmetry", symmetry)
        self._refuse_unallocatable()
        if self.ecut > UNUSUAL:
            warnings.warn(
                f"ecut = {self.ecut:g} is in hartree, which is {self.ecut * HARTREE_IN_EV:.0f} eV or {2 * self.ecut:g} Ry: if eV or Ry "
                "was meant, divide it by 27.2114 or 2.",
                DFTOptWarning,
                stacklevel=2,
            )
        found = (
            find_symmetry(s.cell, s.frac, s.numbers, s.moments if model.spinpol else None)
            if symmetry
            else no_symmetry(len(s))
        )
        found = found.subset(self.vacuum.keeps_axis(found.rotations))
        self.crystal_symmetry = found
        self.kpoints = kpoints.from_input(kpts, found, shift=shift, weights=weights, reduce=symmetry)
        self.vacuum.check_kpoints(self.kpoints.k)
        if like is not None and not isinstance(like, (PlaneWaves, Mapping)):
            raise InputError(f"like = {like!r} has to be an earlier PlaneWaves, or its sizes.")
        kept = like.sizes if isinstance(like, PlaneWaves) else like
        room = checks.check_positive(
            "room", room, remedy="It is the fraction by which the cell may grow.", allow_zero=True, most=1.0
        )
        self._sizes = Sizes(kept, room, self._needed(fft) if kept else None)
        self.fft = self._choose_fft(fft)

    @classmethod
    def alike(cls, models: Sequence, **options) -> "list[PlaneWaves]":
        """Bases of many structures, with arrays of one size for all that have as many k points and one FFT box.

        Their minimizations share compiled programs, and `dftopt.minimize` computes them together. Numbers are those of
        each basis on its own: what is padded is masked.

        Args:
            models: one `dftopt.Model` for each.
            options: as for one basis, without `like`.

        Raises:
            InputError: as for one basis; the place of the model is named.
        """
        if "like" in options:
            raise InputError("PlaneWaves.alike finds common sizes itself: leave out like.")
        own = []
        for i, model in enumerate(models):
            try:
                own.append(cls(model, **options))
            except InputError as error:
                raise InputError(f"structure {i} of {len(models)}: {error}") from None
        kinds: dict[tuple, dict[str, int]] = {}
        of = lambda b: (b.nk, b.fft, len(b.kpoints.symmetry) > 1)
        for basis in own:
            common = kinds.setdefault(of(basis), {})
            common |= {name: max(n, common.get(name, 0)) for name, n in basis.sizes.items()}
        return [cls(model, **options, like=kinds[of(basis)]) for model, basis in zip(models, own, strict=True)]

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

    def _needed(self, fft) -> dict[str, int]:
        """Sizes without any room; a grid that is given does not count."""
        own = {} if fft is not None else {f"fft {i}": int(n) for i, n in enumerate(self._needed_fft())}
        return own | {"npw": int(self.counts.max())} | self._reach()

    def _reach(self, room: float = 0.0) -> dict[str, int]:
        """How far the box of the spheres extends along each axis and its opposite."""
        low, high = extent(self.spheres_at(self.kpoints.k, room) if room else self.spheres)
        return {f"box {sign}{i}": int(n) for sign, row in (("-", -low), ("+", high)) for i, n in enumerate(row)}

    def _needed_fft(self, room: float = 0.0) -> np.ndarray:
        cell = self.model.structure.cell * (1 + room)
        return 2 * grid.largest_indices(cell, 2 * np.sqrt(2 * self.ecut)) + 1

    def _choose_fft(self, fft) -> tuple[int, int, int]:
        need = self._needed_fft()
        if fft is None:
            size = lambda i, room: grid.next_smooth(int(self._needed_fft(room)[i]))
            return tuple(  # type: ignore[return-value]
                self._sizes.fit(f"fft {i}", int(need[i]), partial(size, i), exact=True) for i in range(3)
            )
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

    @cached_property
    def near_symmetry(self) -> NearSymmetry | None:
        """A larger space group that the structure misses by at most 1e-2 angstrom; None also where symmetry is off."""
        s = self.model.structure
        if not self.symmetry_asked:
            return None
        moments = s.moments if self.model.spinpol else None
        return near_symmetry(s.cell, s.frac, s.numbers, moments, self.crystal_symmetry, self.vacuum.keeps_axis)

    @property
    def nk(self) -> int:
        """Number of k points used."""
        return len(self.kpoints.k)

    @cached_property
    def spheres(self) -> list[np.ndarray]:
        """Integer G (n, 3) of each k point."""
        return self.spheres_at(self.kpoints.k)

    def spheres_at(self, k, room: float = 0.0) -> list[np.ndarray]:
        """Integer G (n, 3) with |k + G|^2 / 2 <= ecut for each fractional k; of the cell grown by the fraction `room`."""
        return [grid.sphere(self.model.structure.cell * (1 + room), np.sqrt(2 * self.ecut), x) for x in k]

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of plane waves at each k point."""
        return np.array([len(s) for s in self.spheres])

    @cached_property
    def fewest(self) -> int:
        """Plane waves of the smallest sphere: there are no more bands."""
        return int(self.counts.min())

    def at_points(self, points) -> "PlaneWaves":
        """This basis at some of its k points (indices), with arrays of the same size; weights are those of the whole."""
        part = copy.copy(self)
        part.kpoints = replace(self.kpoints, k=self.kpoints.k[points], weights=self.kpoints.weights[points])
        shared = {name: getattr(self, name) for name in ("npw", "box", "fewest", "stars")}
        own = {"spheres": [self.spheres[i] for i in points], "counts": self.counts[points]}
        part.__dict__.pop("maps", None)
        part.__dict__.update(shared | own)
        return part

    @cached_property
    def npw(self) -> int:
        """Padded number of plane waves, equal for all k points."""

        def size(room: float) -> int:
            most = max(map(len, self.spheres_at(self.kpoints.k, room))) if room else self.counts.max()
            return rows_for(most, 0.0, PAD)

        return self._sizes.fit("npw", int(self.counts.max()), size)

    @cached_property
    def maps(self):
        """See `transforms.box_maps`."""
        return box_maps(self.spheres, self.fft, self.npw, self.box)

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest integer G of the box that holds all spheres."""
        fit = self._sizes.fit
        at = lambda name: lambda room: self._reach(room)[name]
        ends = {name: fit(name, n, at(name)) for name, n in self._reach().items()}
        return -np.array([ends[f"box -{i}"] for i in range(3)]), np.array([ends[f"box +{i}"] for i in range(3)])

    def rows(self, name: str, needed: int, quantum: int = 64) -> int:
        """Rows of a padded array of `needed` lattice vectors, see `sizes`."""
        return self._sizes.fit(name, needed, lambda room: rows_for(needed, room, quantum))

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of all arrays, for the `like` of the next basis."""
        _ = self.npw, self.box, self.stars
        return {f"fft {i}": n for i, n in enumerate(self.fft)} | self._sizes.as_dict()

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
        """Stars of the density's G vectors under the symmetry of the k points, padded; None without symmetry."""
        if len(self.kpoints.symmetry) == 1:
            return None
        found = stars(self.kpoints.symmetry, self.density_sphere)
        n, longest = found.members.shape
        most = len(np.unique(self.kpoints.symmetry.rotations, axis=0))
        return found.padded(
            self.rows("stars", n), self._sizes.fit("star", longest, lambda room: most if room else longest)
        )

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
