"""The minimum as a differentiable function of its inputs: `differentiable`."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp

from dftopt.bases.gaussians import Gaussians
from dftopt.bases.planewaves import PlaneWaves
from dftopt.energy.prepared import strained_cell
from dftopt.errors import InputError
from dftopt.minimization.smearing import against
from dftopt.properties.implicit import mixing
from dftopt.properties.implicit.entries import WhenRead
from dftopt.properties.implicit.inputs import checked
from dftopt.properties.implicit.levels import edges, eigenvalues, filled_levels, gap
from dftopt.properties.implicit.minimum import Ground, Solve, ground, parameters
from dftopt.properties.implicit.stationary import density_of, statistics


class Differentiable:
    """Inputs -> outputs of the minimum, with implicit derivatives; see `differentiable`.

    Attributes:
        parameters: all continuous inputs at their own values.
        model, basis: what is minimized; the basis has no symmetry but time reversal.
    """

    def __init__(self, model, basis, options: dict, sites: Mapping[int, str]):
        self.model, self.basis = model, unfolded(basis)
        mixed, moved, self._mixture, added = mixing.mix(model, self.basis, sites)
        self._ground = ground(mixed, moved, {"tol": 1e-12, "progress": False, **options})
        own = parameters(model, options)
        own["pseudopotentials"] |= jax.tree.map(lambda x: jnp.asarray(x, float), added)
        self.parameters = {**own, "fractions": jnp.zeros(len(model.structure))}

    def __call__(self, inputs: dict) -> "Outputs":
        """Outputs at given inputs (`parameters`, changed), computed when they are read."""
        warm = self._ground.problem.parametrization != "fixed"
        inputs = checked(inputs, self.parameters, warm, [site[0] for site in self._mixture.sites])
        inputs["pseudopotentials"] = self._mixture.pseudopotentials(inputs)
        del inputs["fractions"]
        return Outputs(self._ground, inputs)

    @property
    def solves(self) -> list[Solve]:
        """Relative residual and products with the Hessian of every linear solve so far."""
        return self._ground.solves


def differentiable(model, basis, mix: Mapping[int, str] | None = None, **options):
    """The minimum of the free energy as a function that JAX can differentiate.

    `f = differentiable(model, basis)`; `f(f.parameters)["gap"]` is a number. `jax.grad`, `jax.jvp`, `jax.vjp`, `jax.jacfwd` of
    any function of the outputs, and `jax.hessian` of the energies, work, outside `jax.jit`. Derivatives come from the
    implicit function theorem: one linear solve with the Hessian of the free energy per direction, forward or reverse;
    nothing of the minimization is stored. k points that symmetry reduced are unfolded first, time reversal kept, so that
    every change of the inputs is allowed.

    Args:
        model: the model.
        basis: its basis, plane waves or Gaussians.
        mix: sites that may become another element, {atom: symbol}: `fractions` says how much of it (GTH potentials). The
            number of `electrons` does not follow by itself.
        **options: of `minimize`; `temperature` is where `parameters` start.

    Returns:
        The function, see `Differentiable`. Its inputs: `positions` (N, 3; bohr), `strain` (3, 3), `temperature` (hartree),
        `electrons`, `xc` (per term), `pseudopotentials` (per element), `fractions` (N, of the other element). Its outputs:
        `energy`, `free_energy` (hartree), `forces` (N, 3; hartree/bohr), `stress` (3, 3; hartree/bohr^3), `fermi_level`,
        `eigenvalues` and `multiplets` (spin, k, band), `occupations`, `gap` (hartree), `density` (spin, n1, n2, n3),
        `magnetization`. Of a molecule in Gaussians: see `differentiable_molecule.DifferentiableMolecule`.

    Raises:
        InputError: an option that `minimize` does not know, a smearing without a minimum, a metal at temperature = 0.
        NotConverged: when outputs are read: the minimization or a linear solve failed.

    References:
        Blondel et al., Efficient and modular implicit differentiation, NeurIPS 2022; Baroni et al., Rev. Mod. Phys. 73, 515.
    """
    if not isinstance(basis, (PlaneWaves, Gaussians)):
        raise InputError(f"differentiable needs dftopt.PlaneWaves or dftopt.Gaussians, not {type(basis).__name__}.")
    smearing = str(options.get("smearing", "fermi-dirac")).lower()
    if smearing not in ("fermi-dirac", "gaussian"):
        raise InputError(
            f"smearing = {smearing!r}: derivatives need a minimum, and the free energy has none with it. Use 'fermi-dirac' or 'gaussian'."
        )
    if options.get("parametrization", "auto") not in ("auto", "fixed", "auxiliary"):
        raise InputError(f"parametrization = {options['parametrization']!r}: derivatives need 'auto' or 'auxiliary'.")
    if isinstance(basis, Gaussians):
        if mix:
            raise InputError("mix: elements mix where they have potentials, in plane waves.")
        from dftopt.properties.differentiable_molecule import DifferentiableMolecule

        return DifferentiableMolecule(model, basis, options)
    return Differentiable(model, basis, options, mix or {})


def unfolded(basis: PlaneWaves) -> PlaneWaves:
    """The same mesh reduced by time reversal alone, so that a change of the inputs may break any symmetry."""
    from dftopt.atoms.kpoints import mesh
    from dftopt.atoms.symmetry import no_symmetry

    points = basis.kpoints
    if len(points.symmetry) == 1 and (points.size is None or len(points) < points.n_full or points.n_full == 1):
        return basis
    if points.size is None or points.shift is None:
        return basis
    full = mesh(points.size, points.shift, no_symmetry(len(basis.model.structure)))
    return PlaneWaves(
        basis.model, basis.ecut, kpts=full.k, weights=full.weights, fft=basis.fft, coulomb=basis.vacuum.coulomb,
        dipole_correction=basis.vacuum.dipole,
    )  # fmt: skip


class Outputs(WhenRead):
    """What follows from the minimum; each entry is computed when it is read, so that a refusal concerns it alone."""

    def __init__(self, ground: Ground, inputs: dict):
        super().__init__(ENTRIES)
        self._ground, self._inputs = ground, inputs

    @property
    def state(self) -> dict:
        """Orbitals and auxiliary Hamiltonian; see `implicit.stationary`."""
        return self._kept("state", lambda: self._ground.state(self._inputs))

    def _kept(self, name: str, compute):
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]

    @property
    def _at(self) -> dict:
        return self._kept("at", lambda: self._ground.at(self._inputs))

    @property
    def _statistics(self) -> dict:
        """See `implicit.stationary.statistics`."""
        return self._kept("statistics", lambda: self._ground.apart(statistics, self._at, self.state))

    @property
    def _slopes(self) -> dict:
        """Partial derivatives of the energy in the inputs at the state, themselves differentiable."""
        return self._kept("slopes", lambda: self._ground.energy_and_slopes(self._inputs, self.state)[1])

    @property
    def _metal(self) -> bool:
        return self._ground.problem.parametrization != "fixed"

    # ------------------------------------------------------------------------------------------------ entries

    def _free_energy(self):
        return _free_energy(self._ground, self._inputs)

    def _energy(self):
        if not self._metal:
            return self._free_energy()
        return self._free_energy() + self._inputs["temperature"] * self._statistics["entropy"]

    def _forces(self):
        f = -self._slopes["positions"] @ jnp.linalg.inv(jnp.eye(3) + self._inputs["strain"])
        return f - jnp.mean(f, axis=0)

    def _stress(self):
        vacuum = self._ground.basis.vacuum
        if any(vacuum.isolated):
            raise InputError(f"coulomb = {vacuum.coulomb!r}: the stress of a cell with vacuum is not available here.")
        strain = self._inputs["strain"]
        s = self._slopes["strain"] @ (jnp.eye(3) + strain).T
        volume = jnp.abs(jnp.linalg.det(strained_cell(self._ground.arrays["cell"], strain)))
        return 0.5 * (s + s.T) / volume

    def _eigenvalues(self):
        return eigenvalues(self._ground, self._inputs, self.state)

    def _multiplets(self):
        return eigenvalues(self._ground, self._inputs, self.state, together=True)

    def _fermi_level(self):
        if self._metal:
            return jnp.mean(self._statistics["mu"])
        top, bottom = edges(self["eigenvalues"], self._ground.filled)
        return 0.5 * (top + bottom)

    def _occupations(self):
        e = self["eigenvalues"]
        if not self._metal:
            return filled_levels(e, self._ground.filled)
        scaled = (e - against(self._statistics["mu"], e)) / self._inputs["temperature"]
        return self._ground.problem.kind.occupation(scaled)

    def _gap(self):
        e = None if self._metal else self["eigenvalues"]
        return gap(e, self._ground.filled, self._metal)

    def _density(self):
        return self._ground.apart(density_of, self._at, self.state)

    def _magnetization(self):
        return self._statistics["magnetization"]


ENTRIES = {
    "energy": Outputs._energy,
    "free_energy": Outputs._free_energy,
    "forces": Outputs._forces,
    "stress": Outputs._stress,
    "fermi_level": Outputs._fermi_level,
    "eigenvalues": Outputs._eigenvalues,
    "multiplets": Outputs._multiplets,
    "occupations": Outputs._occupations,
    "gap": Outputs._gap,
    "density": Outputs._density,
    "magnetization": Outputs._magnetization,
}


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _free_energy(ground: Ground, inputs: dict):
    """A at the minimum; its first derivative needs no linear solve, the second one of them per direction."""
    return _free_energy_and_slopes(ground, inputs)[0]


def _free_energy_and_slopes(ground: Ground, inputs: dict):
    x = ground.state(inputs)
    energy, slopes = ground.energy_and_slopes(inputs, x)
    if ground.problem.parametrization == "fixed":
        return energy, slopes
    s = ground.apart(statistics, ground.at(inputs), x)
    slopes = {**slopes, "temperature": -s["entropy"], "electrons": slopes["electrons"] + jnp.mean(s["mu"])}
    return energy - inputs["temperature"] * s["entropy"], slopes


@_free_energy.defjvp
def _free_energy_jvp(ground: Ground, primals, tangents):
    (inputs,), (change,) = primals, tangents
    value, slopes = _free_energy_and_slopes(ground, inputs)
    return value, sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(change), strict=True))
