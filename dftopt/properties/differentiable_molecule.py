"""The minimum of a molecule in Gaussians as a differentiable function of its inputs; see `differentiable`."""

from functools import partial

import jax
import jax.numpy as jnp

from dftopt.energy.dispersion import dispersion, dispersion_of
from dftopt.minimization.smearing import against
from dftopt.properties.implicit import molecule
from dftopt.properties.implicit.apart import apart
from dftopt.properties.implicit.entries import WhenRead
from dftopt.properties.implicit.inputs import checked
from dftopt.properties.implicit.levels import edges, eigenvalues_among, filled_levels, gap
from dftopt.properties.implicit.minimum import Solve
from dftopt.properties.implicit.molecule import MolecularGround, MolecularKey, density_of, dipole_of, filling_of
from dftopt.properties.implicit.molecule_curvature import bent


class DifferentiableMolecule:
    """Inputs -> outputs of the minimum of a molecule in Gaussians, with implicit derivatives; see `differentiable`.

    Inputs: `positions` (N, 3; bohr), `xc` (per term), `temperature` (hartree), `electrons`.

    Attributes:
        parameters: all continuous inputs at their own values.
        model, basis: what is minimized.
    """

    def __init__(self, model, basis, options: dict):
        self.model, self.basis = model, basis
        given = {"tol": 1e-12, "progress": False, **options}
        self._ground = molecule.molecular_ground(model, basis, given)
        self._warm = float(options.get("temperature", 0.0)) > 0
        self.parameters = molecule.molecular_parameters(model, basis, options)

    def __call__(self, inputs: dict) -> "MolecularOutputs":
        """Outputs at given inputs (`parameters`, changed), computed when they are read."""
        return MolecularOutputs(self._ground, checked(inputs, self.parameters, self._warm), self._warm)

    @property
    def solves(self) -> list[Solve]:
        """Relative residual and products of every linear solve so far."""
        return self._ground.solves


class MolecularOutputs(WhenRead):
    """What follows from the minimum; each entry is computed when it is read, so that a refusal concerns it alone."""

    def __init__(self, ground: MolecularGround, inputs: dict, warm: bool):
        super().__init__(ENTRIES)
        self._ground, self._inputs, self._warm = ground, inputs, warm

    @property
    def _parts(self) -> dict:
        if "parts" not in self._known:
            state, ground = self._ground.state(self._inputs), self._ground
            a = ground.arrays(self._inputs)
            found = apart(_parts, (self._inputs, state), (a,), key=ground.key)
            self._known["parts"] = {**found, "eta": state["eta"]}
        return self._known["parts"]

    def _free_energy(self):
        return _free_energy(self._ground, self._inputs)

    def _energy(self):
        if not self._warm:
            return self._free_energy()
        return self._free_energy() + self._inputs["temperature"] * self._parts["entropy"]

    def _forces(self):
        return -_slopes(self._ground, self._inputs, self._ground.state(self._inputs))["positions"]

    def _levels(self, together: bool = False):
        return eigenvalues_among(self._parts["eta"][:, None], together)

    def _multiplets(self):
        return self._levels(True)

    def _fermi_level(self):
        if self._warm:
            return jnp.mean(self._parts["mu"])
        top, bottom = edges(self["eigenvalues"], self._ground.key.filled)
        return 0.5 * (top + bottom)

    def _gap(self):
        e = None if self._warm else self["eigenvalues"]
        return gap(e, self._ground.key.filled, self._warm)

    def _occupations(self):
        e = self["eigenvalues"]  # finds the minimum, and with it the key
        key = self._ground.key
        if key.kind is None:
            return filled_levels(e, key.filled)
        return key.kind.occupation((e - against(self._parts["mu"], e)) / self._inputs["temperature"])

    def _dipole(self):
        return self._parts["dipole"]

    def _magnetization(self):
        return self._parts["magnetization"]


ENTRIES = {
    "energy": MolecularOutputs._energy,
    "free_energy": MolecularOutputs._free_energy,
    "forces": MolecularOutputs._forces,
    "eigenvalues": MolecularOutputs._levels,
    "multiplets": MolecularOutputs._multiplets,
    "fermi_level": MolecularOutputs._fermi_level,
    "occupations": MolecularOutputs._occupations,
    "gap": MolecularOutputs._gap,
    "dipole": MolecularOutputs._dipole,
    "magnetization": MolecularOutputs._magnetization,
}


@partial(jax.jit, static_argnames="key")
def _parts(inputs, x, a, key: MolecularKey) -> dict:
    filling, mu, entropy = filling_of(inputs, x["eta"], key)
    n = key.degeneracy * jnp.trace(filling, axis1=1, axis2=2)
    moment = dipole_of(inputs, density_of(inputs, x, a, key), a)
    return {"mu": mu, "entropy": entropy, "magnetization": n[0] - n[-1], "dipole": moment}


@partial(jax.jit, static_argnames="key")
def _energy_at(inputs, x, a, key: MolecularKey):
    return molecule.energy_of(inputs, density_of(inputs, x, a, key), a, key.functional)


@partial(jax.jit, static_argnames="key")
def _energy_slopes(inputs, x, a, key: MolecularKey):
    return jax.grad(lambda i: _free(i, x, a, key))(inputs)


def _free(inputs, x, a, key: MolecularKey):
    e = molecule.energy_of(inputs, density_of(inputs, x, a, key), a, key.functional)
    return e if key.kind is None else e - inputs["temperature"] * filling_of(inputs, x["eta"], key)[2]


def _slopes(ground: MolecularGround, inputs: dict, x: dict) -> dict:
    """Partial derivatives of the free energy in all inputs at a fixed state."""
    a = ground.arrays(inputs)
    slopes = lambda i: apart(_energy_slopes, (i, x), (a,), key=ground.key)
    still = {**inputs, "positions": jax.lax.stop_gradient(inputs["positions"])}
    pull = slopes(still)["positions"] + bent(ground, inputs, x)  # integrals bring first derivatives, `bent` second ones
    d3 = dispersion_of(ground.model, (False, False, False))
    if d3 is not None:
        pull = pull + jax.grad(lambda r: dispersion(r, jnp.eye(3), d3))(still["positions"])
    return {**slopes(inputs), "positions": pull}


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _free_energy(ground: MolecularGround, inputs: dict):
    """A at the minimum; its first derivative needs no linear solve."""
    x = ground.state(inputs)
    a = ground.arrays(inputs)
    parts, d3 = _parts(inputs, x, a, key=ground.key), dispersion_of(ground.model, (False, False, False))
    value = _energy_at(inputs, x, a, key=ground.key) - inputs["temperature"] * parts["entropy"]
    return value if d3 is None else value + dispersion(inputs["positions"], jnp.eye(3), d3)


@_free_energy.defjvp
def _free_energy_jvp(ground: MolecularGround, primals, tangents):
    (inputs,), (change,) = primals, tangents
    slopes = _slopes(ground, inputs, ground.state(inputs))
    slope = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(change), strict=True))
    return _free_energy(ground, inputs), slope
