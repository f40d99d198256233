"""The Kohn-Sham equations of a spherical pseudo-atom, in even-tempered Gaussians r^l exp(-a r^2).

Each shell is filled evenly over m and spin, so that density and potential are functions of r alone. Integrals are sums
over a radial quadrature, but for the Coulomb potentials of products of Gaussians, which are incomplete gamma functions.

References:
    Even-tempered Gaussians: Schmidt and Ruedenberg, J. Chem. Phys. 71, 3951 (1979).
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import numpy as np
from scipy import linalg, special
from scipy.interpolate import CubicSpline

from dftopt import xc
from dftopt.atoms.gth import GTH
from dftopt.errors import InputError

RATIO = 1.55  # of neighbouring exponents
DIFFUSEST = 0.01  # smallest exponent, bohr^-2
SHARPEST = 8.0  # largest exponent times the square of the potential's smallest radius
DEPENDENT = 1e-9  # eigenvalue of the overlap below which a combination of Gaussians is dropped
TABULATED_RADIUS = 0.25  # bohr; stands for the narrowest feature of a tabulated potential
POINTS = 240  # of the radial quadrature
SCALE = 1.5  # bohr; half of the points are below
TOLERANCE = 2e-8  # of the commutator of Fock and density matrix, hartree; roundoff leaves 1e-9 to 1e-8
STEPS = 150
ROUGH, DAMPING = 0.1, 0.3  # density matrices are mixed until the commutator is below ROUGH hartree


@dataclass(frozen=True, eq=False)
class RadialPotential:
    """A pseudopotential on the quadrature points.

    Attributes:
        local: local part (points,), hartree.
        channels: (l, projectors (i, points) bohr^-3/2, coupling (i, i) hartree).
        core: density of the core correction (points,), bohr^-3, and its slope.
        radius: of the narrowest feature, bohr.
    """

    local: np.ndarray
    channels: tuple[tuple[int, np.ndarray, np.ndarray], ...]
    core: tuple[np.ndarray, np.ndarray]
    radius: float


@lru_cache(maxsize=1)
def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Points r and weights of integrals over r from 0 to infinity: Gauss-Legendre in x, r = SCALE (1 + x) / (1 - x)."""
    x, w = np.polynomial.legendre.leggauss(POINTS)
    return SCALE * (1 + x) / (1 - x), 2 * SCALE * w / (1 - x) ** 2


def radial_potential(potential) -> RadialPotential:
    r"""A pseudopotential in real space: a `GTH`, or a table with the attributes of `tabulated.Tabulated`.

    GTH: $V_{loc} = -\frac Zr \mathrm{erf}\frac{r}{\sqrt2 r_{loc}} + e^{-x^2/2}(C_1 + C_2 x^2 + C_3 x^4 + C_4 x^6)$ with
    $x = r/r_{loc}$; the projectors are those of `energy.nonlocal_.radial`.
    """
    r, _ = quadrature()
    if not isinstance(potential, GTH):
        return _from_table(potential, r)
    x, c = r / potential.rloc, potential.cloc
    local = -potential.charge / r * special.erf(x / np.sqrt(2))
    local = local + np.exp(-(x**2) / 2) * (c[0] + c[1] * x**2 + c[2] * x**4 + c[3] * x**6)
    channels = []
    for channel in potential.channels:
        i = np.arange(1, channel.n + 1)[:, None]
        power = channel.l + (4 * i - 1) / 2
        norm = np.sqrt(2) / (channel.r**power * np.sqrt(special.gamma(power)))
        values = norm * r ** (channel.l + 2 * (i - 1)) * np.exp(-(r**2) / (2 * channel.r**2))
        channels.append((channel.l, values, np.array(channel.h)))
    radius = min([potential.rloc, *(c.r for c in potential.channels)])
    return RadialPotential(local, tuple(channels), (np.zeros_like(r), np.zeros_like(r)), radius)


def _from_table(potential, r) -> RadialPotential:
    """By cubic splines; beyond the mesh the potential is -Z/r and the rest zero."""
    mesh = potential.r
    inside = (r >= mesh[0]) & (r <= mesh[-1])
    near = r < mesh[0]
    spline = lambda x, y: CubicSpline(x, y)(np.clip(r, x[0], x[-1]))
    local = np.where(inside | near, spline(mesh, potential.v_local), -potential.charge / r)
    m = potential.projector_points
    within = r <= mesh[m - 1]
    channels = tuple(
        (c.l, np.array([np.where(within, spline(mesh[:m], v[:m]) / r, 0.0) for v in c.values]), np.asarray(c.h))
        for c in potential.channels
    )
    core, slope = np.zeros_like(r), np.zeros_like(r)
    if potential.core is not None:
        fit = CubicSpline(mesh, potential.core)
        core, slope = np.where(inside, fit(r), 0.0), np.where(inside, fit(r, 1), 0.0)
    return RadialPotential(local, channels, (core, slope), TABULATED_RADIUS)


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Normalized even-tempered Gaussians of one l on the quadrature points.

    Attributes:
        l: angular momentum.
        exponents: (n,), bohr^-2.
        scale: (n,) norms; the functions are scale r^l exp(-a r^2).
        values, slopes: (n, points) of the functions and their derivatives.
    """

    l: int
    exponents: np.ndarray
    scale: np.ndarray
    values: np.ndarray
    slopes: np.ndarray

    @classmethod
    def build(cls, l: int, radius: float) -> "Gaussians":
        """For a potential whose narrowest Gaussian has the given radius, bohr."""
        r, _ = quadrature()
        count = int(np.ceil(np.log(SHARPEST / radius**2 / DIFFUSEST) / np.log(RATIO))) + 1
        a = DIFFUSEST * RATIO ** np.arange(count)
        scale = np.sqrt(2 * (2 * a) ** (l + 1.5) / special.gamma(l + 1.5))
        values = scale[:, None] * r**l * np.exp(-a[:, None] * r**2)
        return cls(l, a, scale, values, values * (l / r - 2 * a[:, None] * r))

    def project(self, functions) -> np.ndarray:
        """Overlaps (n, i) with functions of r (i, points)."""
        r, w = quadrature()
        return (self.values * (w * r**2)) @ functions.T

    def integrals(self, v) -> np.ndarray:
        """Matrix of a function of r (points,), or of a number."""
        r, w = quadrature()
        return (self.values * (w * r**2 * v)) @ self.values.T

    def kinetic(self) -> np.ndarray:
        """Matrix of -nabla^2 / 2."""
        r, w = quadrature()
        radial = (self.slopes * (w * r**2)) @ self.slopes.T
        return 0.5 * (radial + self.l * (self.l + 1) * (self.values * w) @ self.values.T)

    def gradient_integrals(self, v) -> np.ndarray:
        """Matrix of int v d(chi_i chi_j)/dr r^2 dr."""
        r, w = quadrature()
        half = (self.values * (w * r**2 * v)) @ self.slopes.T
        return half + half.T

    def coulomb(self) -> np.ndarray:
        r"""Electrostatic potential of chi_i chi_j / 4 pi, (pairs, points); pairs as in a flattened matrix.

        $\frac1r \int_0^r s^{2l+2} e^{-ps^2} ds + \int_r^\infty s^{2l+1} e^{-ps^2} ds$ with $p = a_i + a_j$.
        """
        r, _ = quadrature()
        n = len(self.exponents)
        i, j = np.triu_indices(n)
        p = (self.exponents[i] + self.exponents[j])[:, None]
        x, l = p * r**2, self.l
        inner = special.gammainc(l + 1.5, x) * special.gamma(l + 1.5) / (2 * p ** (l + 1.5) * r)
        outer = special.gammaincc(l + 1, x) * special.gamma(l + 1) / (2 * p ** (l + 1))
        full = np.empty((n, n, len(r)))
        full[i, j] = full[j, i] = (self.scale[i] * self.scale[j])[:, None] * (inner + outer)
        return full.reshape(n * n, -1)


@dataclass(frozen=True, eq=False)
class Solution:
    """Of one l: the Gaussians, levels (shells,), hartree, and coefficients (n, shells) of r^l exp(-a r^2)."""

    gaussians: Gaussians
    levels: np.ndarray
    coefficients: np.ndarray


def solve(potential: RadialPotential, occupations: dict, functional: str, name: str) -> tuple[dict, float]:
    """Self-consistent levels of the atom.

    Args:
        potential: see `radial_potential`.
        occupations: for each l the electrons in its shells, the lowest first.
        functional: an LDA or GGA.
        name: of the atom, for errors.

    Returns:
        A `Solution` for each l, and the total energy, hartree (with a core correction, that of its xc energy too).

    Raises:
        InputError: no convergence.
    """
    sets = {l: Gaussians.build(l, potential.radius) for l in occupations}
    fixed = {l: s.kinetic() + s.integrals(potential.local) for l, s in sets.items()}
    for l, projectors, h in potential.channels:
        if l in sets:
            b = sets[l].project(projectors)
            fixed[l] = fixed[l] + b @ h @ b.T
    levels, vectors, energy = _iterate(sets, fixed, potential.core, occupations, xc.functional(functional), name)
    return {l: Solution(s, levels[l], s.scale[:, None] * vectors[l]) for l, s in sets.items()}, energy


@partial(jax.jit, static_argnames="functional")
def _xc(rho, sigma, functional):
    """Energy density and its derivatives in rho and sigma."""
    total = lambda n, s: functional.energy_density(n[None], s[None]).sum()
    return functional.energy_density(rho[None], sigma[None]), *jax.grad(total, argnums=(0, 1))(rho, sigma)


def _iterate(sets, fixed, core, occupations, functional, name: str):
    """Damped steps, then Pulay's; levels and vectors (in Gaussians) of each l, and the total energy."""
    r, w = quadrature()
    coulomb = {l: s.coulomb() for l, s in sets.items()}
    overlaps = {l: s.integrals(1.0) for l, s in sets.items()}
    roots = {l: _inverse_root(o) for l, o in overlaps.items()}
    electrons = float(sum(np.sum(f) for f in occupations.values()))
    # at first the ion is screened by its electrons as one Gaussian of about the valence's size
    screen = 0.9 * electrons * special.erf(r / 1.5) / r
    p = _levels(_flat({l: fixed[l] + s.integrals(screen) for l, s in sets.items()}, roots), roots, occupations)[2]
    focks: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    damped = True
    for _ in range(STEPS):
        rho, slope, v_hartree = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
        for l, s in sets.items():
            rho += np.einsum("ix,ij,jx->x", s.values, p[l], s.values) / (4 * np.pi)
            slope += 2 * np.einsum("ix,ij,jx->x", s.values, p[l], s.slopes) / (4 * np.pi)
            v_hartree += p[l].reshape(-1) @ coulomb[l]
        slope += core[1]
        e, v_rho, v_sigma = (np.asarray(x) for x in _xc(rho + core[0], slope**2, functional))
        energy = sum(float(np.sum(p[l] * fixed[l])) for l in sets)
        energy += float(4 * np.pi * np.sum(w * r**2 * (0.5 * v_hartree * rho + e)))
        fock = {
            l: fixed[l] + s.integrals(v_hartree + v_rho) + s.gradient_integrals(2 * v_sigma * slope)
            for l, s in sets.items()
        }
        flat = _flat(fock, roots)
        levels, vectors, p_new = _levels(flat, roots, occupations)
        error = np.concatenate([_commutator(fock[l] @ p[l] @ overlaps[l], roots[l]) for l in sets])
        if np.abs(error).max() < TOLERANCE:
            return levels, vectors, energy
        damped = damped and np.abs(error).max() > ROUGH
        if damped:
            p = {l: (1 - DAMPING) * p[l] + DAMPING * p_new[l] for l in sets}
            continue
        focks, errors = [*focks[-9:], flat], [*errors[-9:], error]
        p = _levels(_extrapolate(focks, errors), roots, occupations)[2]
    raise InputError(
        f"The free atom of {name} did not converge in {STEPS} steps (commutator {np.abs(error).max():.1e} hartree): "
        "projections on its orbitals are not available. Take another potential."
    )


def _inverse_root(overlap) -> np.ndarray:
    """Columns that orthonormalize the Gaussians, without nearly dependent combinations."""
    s, u = linalg.eigh(overlap)
    return u[:, s > DEPENDENT] / np.sqrt(s[s > DEPENDENT])


def _flat(fock, roots) -> np.ndarray:
    """Fock matrices in orthonormal functions, one after another."""
    return np.concatenate([(x.T @ fock[l] @ x).ravel() for l, x in roots.items()])


def _levels(flat, roots, occupations):
    """Lowest levels, their vectors and the density matrix of each l."""
    levels, vectors, matrices, at = {}, {}, {}, 0
    for l, x in roots.items():
        n, f = x.shape[1], np.asarray(occupations[l], float)
        e, u = linalg.eigh(flat[at : at + n * n].reshape(n, n))
        at += n * n
        c = x @ u[:, : len(f)]
        levels[l], vectors[l], matrices[l] = e[: len(f)], c, (c * f) @ c.T
    return levels, vectors, matrices


def _commutator(fps, root) -> np.ndarray:
    return (root.T @ (fps - fps.T) @ root).ravel()


def _extrapolate(focks, errors) -> np.ndarray:
    """Pulay's combination of Fock matrices with the smallest commutator, J. Comput. Chem. 3, 556 (1982)."""
    n = len(errors)
    b = np.full((n + 1, n + 1), -1.0)
    b[:n, :n] = np.array(errors) @ np.array(errors).T
    b[:n, :n] /= max(b[n - 1, n - 1], 1e-300)
    b[n, n] = 0.0
    right = np.zeros(n + 1)
    right[n] = -1.0
    return np.linalg.lstsq(b, right, rcond=None)[0][:n] @ np.array(focks)
