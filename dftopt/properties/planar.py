"""Potentials of slabs: averages over planes, macroscopic averages, vacuum levels and work functions.

References:
    Baldereschi, Baroni, Resta, Phys. Rev. Lett. 61, 734 (1988) (macroscopic average).
"""

import warnings
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from dftopt.atoms.vacuum import largest_gaps
from dftopt.energy.coulomb import slab_dipole
from dftopt.energy.prepared import prepare
from dftopt.errors import DFTOptWarning, InputError
from dftopt.properties.volumetric import density, potential
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

LEAST = 5.0  # bohr; of vacuum that has to be far enough from charges and copies on each side of the slab
FROM, TO = 0.8, 0.99  # part of that which is looked at; in the middle of the vacuum a dipole correction jumps
FLAT = 0.02 / HARTREE_IN_EV  # hartree; the most that the potential may rise or fall there


@dataclass(frozen=True, eq=False)
class PlanarAverage:
    """Average of a field over planes parallel to two cell vectors.

    Attributes:
        z: distance of the planes from the origin along their normal, (n,), bohr.
        values: average on each plane, (n,), in the unit of the field.
        height: distance after which the cell repeats, bohr.
        axis: the cell vector that leaves the planes.
        slope: of the straight line in `values` that corrects a dipole, per bohr; it jumps back half a cell from `middle`.
        middle: where that line is zero, bohr.
    """

    z: np.ndarray
    values: np.ndarray
    height: float
    axis: int
    slope: float = 0.0
    middle: float = 0.0

    def line(self, z) -> np.ndarray:
        """The straight line at distances z, bohr."""
        return self.slope * (((np.asarray(z) - self.middle) / self.height + 0.5) % 1.0 - 0.5) * self.height

    def at(self, z) -> np.ndarray:
        """Value at any distances z (...), bohr: trigonometric interpolation of all but the line."""
        n = len(self.values)
        m = np.fft.rfftfreq(n, 1 / n)
        c = np.fft.rfft(self.values - self.line(self.z)) / n
        c[1:] *= 2
        if n % 2 == 0:
            c[-1] /= 2
        waves = np.exp(2j * np.pi * np.asarray(z)[..., None] * m / self.height)
        return np.real(waves @ c) + self.line(z)

    def macroscopic(self, *windows: float) -> np.ndarray:
        r"""Averaged again over windows along the normal, $\frac1L \int_{z-L/2}^{z+L/2} dz'$, exactly.

        The straight line of a dipole correction is left as it is.

        Args:
            windows: lengths L, bohr: the distance between layers, or one for each side of an interface.

        Raises:
            InputError: a length that is not positive.
        """
        n = len(self.values)
        m = np.fft.rfftfreq(n, 1 / n)
        transform = np.fft.rfft(self.values - self.line(self.z))
        for window in windows:
            if not np.isfinite(window) or window <= 0:
                raise InputError(f"window = {window!r} must be a positive length in bohr, such as the layer distance.")
            transform = transform * np.sinc(m * window / self.height)
        return np.fft.irfft(transform, n) + self.line(self.z)


@dataclass(frozen=True)
class Side:
    """Vacuum on one side of a slab, hartree and bohr.

    Attributes:
        level: mean electrostatic potential in the region.
        slope: of a straight line through it, hartree / bohr.
        variation: largest minus smallest value in the region, with the ripple that a low cutoff leaves.
        region: (from, to), distance from the origin along the normal.
        work_function: level minus Fermi level.
    """

    level: float
    slope: float
    variation: float
    region: tuple[float, float]
    work_function: float

    @property
    def rise(self) -> float:
        """Change of the straight line over the region, hartree."""
        return abs(self.slope) * (self.region[1] - self.region[0])


@dataclass(frozen=True)
class WorkFunction:
    """Vacuum levels of a slab.

    Attributes:
        above, below: the two sides, in the direction of the axis and against it.
        fermi_level: hartree.
        valence_top: hartree, None for a metal: level minus it is the ionization energy.
        flat: whether the straight lines change by less than 20 meV over their regions.
    """

    above: Side
    below: Side
    fermi_level: float
    valence_top: float | None
    flat: bool

    @property
    def value(self) -> float:
        """Mean work function of the two sides, hartree."""
        return 0.5 * (self.above.work_function + self.below.work_function)

    def __float__(self) -> float:
        return self.value


def planar_average(result, field=None, axis: int | None = None) -> PlanarAverage:
    """Average over planes.

    Args:
        result: tells the cell.
        field: (n1, n2, n3) on a grid of the cell; default the electrostatic potential, hartree.
        axis: cell vector that leaves the planes; default that with the widest layer without atoms.

    Raises:
        InputError: an axis other than 0, 1, 2, or another shape.
    """
    s = result.model.structure
    heights = 1 / np.linalg.norm(np.linalg.inv(s.cell), axis=0)
    if axis is None:
        axis = int(np.argmax(largest_gaps(s.frac)[0] * heights))
    if axis not in (0, 1, 2):
        raise InputError(f"axis = {axis!r} must be 0, 1 or 2, a cell vector.")
    if field is None and result.basis.vacuum.dipole and axis == result.basis.vacuum.axis:
        return _corrected(result, axis, float(heights[axis]))
    return _average(
        potential(result, "electrostatic") if field is None else np.asarray(field), axis, float(heights[axis])
    )


def _average(field, axis: int, height: float) -> PlanarAverage:
    if field.ndim != 3:
        raise InputError(f"the field has shape {field.shape}: give (n1, n2, n3), one spin at a time.")
    n = field.shape[axis]
    values = field.mean(axis=tuple(i for i in range(3) if i != axis))
    return PlanarAverage(np.arange(n) * height / n, values, height, axis)


def _corrected(result, axis: int, height: float) -> PlanarAverage:
    """Electrostatic potential with the correction as the straight line that it is: on the grid its jump rings."""
    field = potential(result, "local") + potential(result, "hartree")
    prepared = prepare(result.model, result.basis, result.inputs)
    rho = density(result)
    assert prepared.dipole is not None
    moment = float(slab_dipole(jnp.asarray(np.fft.rfftn(rho) / rho.size), prepared.dipole, prepared.volume))
    slope = -4 * np.pi * moment / float(prepared.volume)
    plain, middle = _average(field, axis, height), result.basis.vacuum.middle * height
    line = PlanarAverage(plain.z, plain.values, height, axis, slope, middle)
    return replace(line, values=plain.values + line.line(plain.z))


def layer_distance(structure, average: PlanarAverage) -> float | None:
    """Mean distance of the layers of a slab along the normal, bohr; None for a single layer."""
    f = structure.frac[:, average.axis]
    gap, end = (x[average.axis] for x in largest_gaps(structure.frac))
    layers = np.unique(np.round((f - end + 1e-9) % 1.0 * average.height, 1))
    if len(layers) < 2 or gap >= 1:
        return None
    return float(np.ptp(layers) / (len(layers) - 1))


def work_function(result, axis: int | None = None) -> WorkFunction:
    """Vacuum levels and work functions of a slab from the flat part of its electrostatic potential.

    The vacuum is cut in the middle (with coulomb = "2d" where the cut is felt), and the outermost fifth on each side is
    looked at by itself, since the two sides differ where the slab has a dipole. The exchange-correlation potential is left
    out: far out it is zero, but on the way it falls off as the density does.

    Args:
        result: a converged result of a slab.
        axis: cell vector that leaves its plane; default that with the widest vacuum.

    Raises:
        NotConverged: the result did not converge.
        InputError: too little vacuum.
    """
    average = planar_average(result, None, axis)
    s = result.model.structure
    gap, end = (x[average.axis] for x in largest_gaps(s.frac))
    width = gap * average.height
    vacuum = result.basis.vacuum
    reach = vacuum.tail if vacuum.coulomb == "2d" else 0.5 * width
    if reach < LEAST:
        raise InputError(
            f"the vacuum along {'abc'[average.axis]} is {width * BOHR_IN_ANGSTROM:.2f} angstrom thick: no part of it is far "
            f"from both surfaces. Give at least {2 * (LEAST + 0.5 * width - reach) * BOHR_IN_ANGSTROM:.1f}, better 12 angstrom."
        )
    top = (end - gap) * average.height  # of the slab; the vacuum is from there to top + width
    fermi = float(result.fermi_level)
    above = _side(average, top + FROM * reach, top + TO * reach, fermi)
    below = _side(average, top + width - TO * reach, top + width - FROM * reach, fermi)
    flat = max(above.rise, below.rise) < FLAT
    if not flat:
        warnings.warn(
            "The electrostatic potential is not flat in the vacuum: its slope is "
            f"{above.slope * HARTREE_IN_EV / BOHR_IN_ANGSTROM:.3f} eV/angstrom above the slab and "
            f"{below.slope * HARTREE_IN_EV / BOHR_IN_ANGSTROM:.3f} below, where it should be zero. Take more vacuum, or "
            "dipole_correction = True for a slab whose sides differ.",
            DFTOptWarning,
            stacklevel=2,
        )
    e = result.eigenvalues
    valence_top = float(e[e <= fermi].max()) if float(result.gap) > 0 else None
    return WorkFunction(above, below, fermi, valence_top, flat)


def _side(average: PlanarAverage, start: float, stop: float, fermi: float) -> Side:
    z = np.linspace(start, stop, 41)
    v = average.at(z)
    slope, level = float(np.polyfit(z, v, 1)[0]), float(v.mean())
    return Side(level, slope, float(np.ptp(v)), (float(z[0]), float(z[-1])), level - fermi)
