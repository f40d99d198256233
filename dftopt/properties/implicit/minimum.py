"""The state at the minimum as a function of the inputs, with its derivative by the implicit function theorem.

Both the minimization and the linear solve of its derivative run on the host, where their failure can be an error. JAX
sees two primitives: `minimum` whose derivative calls `solve`, and `solve`, symmetric and hence its own transpose. Both take
as `ground` what finds minima: `Ground`, or `molecule.MolecularGround`.
"""

import copy
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad

from dftopt.energy.prepared import Key, Prepared, key_of, static_arrays
from dftopt.errors import InputError, NotConverged
from dftopt.minimization import start as starting
from dftopt.minimization.ground_state import minimize
from dftopt.minimization.problem import Problem
from dftopt.precision import one_blas_thread
from dftopt.properties.implicit import hessian
from dftopt.properties.implicit.apart import SECOND, apart, linear, strong, without_a_mesh
from dftopt.properties.implicit.batches import loop_over_batches
from dftopt.properties.implicit.stationary import (
    INPUTS,
    OF_ORBITALS,
    energy_and_slopes,
    potential_of,
    prepared_at,
    residual,
    rest_of,
    rotate,
    setting,
    slopes_of,
)

SOLVE_TOL = 1e-12  # of the preconditioned residual, relative
ENOUGH = 1e-8  # relative residual at which a solve that roundoff has stopped still counts
PRODUCTS = 600  # at most, per solve
SETTLED = 1e-10  # residual of the state below which no Newton step follows, hartree
FINEST = 3e-9  # residual of empty bands, hartree
KEPT = 6  # states kept, by inputs


@dataclass(frozen=True)
class Solve:
    """Record of a linear solve: relative residual, products with the Hessian."""

    residual: float
    products: int


def look_outside(progress, solves: list[Solve]) -> None:
    """Call `progress`, if there is one, between linear solves.

    Raises:
        NotConverged: it said that this is enough.
    """
    if progress is not None and progress() is True:
        raise NotConverged(f"The response was interrupted after {len(solves)} linear solves.")


@dataclass(eq=False)
class Ground:
    """What finds minima of one model in one basis.

    Attributes:
        model, basis: without symmetry of the k points but time reversal.
        options: of `minimize`.
        arrays, key, problem: see `energy.prepared` and `minimization.problem`.
        tree: structure of the inputs.
        rest: what the inputs do not change, see `stationary.rest_of`.
        solves: records of all linear solves.
        results: `Result` and state of the latest inputs.
    """

    model: Any
    basis: Any
    options: dict
    arrays: dict
    key: Key
    problem: Problem
    tree: Any
    rest: Prepared
    solves: list[Solve] = field(default_factory=list)
    results: OrderedDict = field(default_factory=OrderedDict)
    nbands: int | None = None
    filled: tuple[int, ...] = ()

    def state(self, inputs: dict) -> dict:
        """The state at the minimum; differentiable."""
        psi, eta = minimum.bind(*jax.tree.leaves(inputs), ground=self)
        return {"psi": psi, "eta": eta}

    def pack(self, leaves) -> dict:
        """Inputs from their leaves."""
        return jax.tree.unflatten(self.tree, leaves)

    def at(self, inputs: dict) -> dict:
        """See `stationary.setting`."""
        return apart(setting, (inputs,), (self.arrays,), key=self.key)

    def residual(self, inputs: dict, x: dict):
        """See `stationary.residual`."""
        return self.apart(residual, self.at(inputs), x)

    def apart(self, function, at: dict, x: dict):
        """A function of setting and state, differentiable."""
        return apart(function, (at, x), (self.rest,), problem=self.problem)

    def energy_and_slopes(self, inputs: dict, x: dict) -> tuple[Any, dict]:
        """E of a state and its partial derivatives in all inputs at fixed orbitals and occupations."""
        energy, slopes = self.apart(energy_and_slopes, self.at(inputs), x)
        return energy, apart(slopes_of, (inputs, slopes), (self.arrays,), key=self.key)

    def find(self, inputs: dict):
        """Result and state (NumPy) at concrete inputs; kept."""
        return remembered(self.results, inputs, lambda leaves: self._find(self.pack(leaves)))

    @property
    def parts(self) -> int:
        """Arrays of a scaled change: of orbitals, and at T > 0 of the auxiliary Hamiltonian."""
        return 1 if self.problem.parametrization == "fixed" else 2

    def invert(self, operands, x: dict, b, tol, limit):
        """Solution of the scaled linear system, relative residual, products; `operands` of `change`."""
        at, b = jax.tree.unflatten(self._at_tree, [strong(y) for y in operands]), (*map(strong, b), None)[:2]
        v, size, n = hessian.conjugate_gradients(at, x, b, tol, limit, self.rest, problem=self.problem)
        return tuple(part for part in v if part is not None), size, n

    @one_blas_thread
    def _find(self, inputs: dict):
        model, basis = self._charged(float(inputs["electrons"]))
        options = {**self.options, "temperature": float(inputs["temperature"])}
        if self.nbands is not None and options["temperature"] > 0:
            options["nbands"] = self.nbands
        if self.results:
            last = next(reversed(self.results.values()))[0]
            if last.model.n_electrons == model.n_electrons:
                options["start"] = last
        result = minimize(model, basis, **options, inputs={name: inputs[name] for name in INPUTS})
        result.require_converged("The derivative")
        _refuse_metal(result)
        self.nbands = result.point["psi"].shape[2]
        if self.results and result.options.filled != self.filled:
            raise InputError(
                f"The electrons moved from {self.filled} to {result.options.filled} filled bands per spin: levels crossed on the way, and "
                "the minimum is no smooth function there. Give a temperature, or hold the magnetization fixed."
            )
        self.filled, self.problem = result.options.filled, result.options.problem
        return result, self._settle(inputs, result)

    def _charged(self, electrons: float):
        if abs(electrons - self.model.n_electrons) < 1e-12:
            return self.model, self.basis
        model, basis = copy.copy(self.model), copy.copy(self.basis)
        model.__dict__.update(charge=self.model.n_electrons + self.model.charge - electrons, n_electrons=electrons)
        basis.model = model
        return model, basis

    def _settle(self, inputs: dict, result) -> dict:
        """Newton steps to roundoff: a residual left over is an error of first order in every derivative.

        The bands that hold next to nothing settle in the potential of the others: rotations among all bands respond.
        """
        problem, psi, at = self.problem, result.point["psi"], self.at(inputs)
        metal = problem.parametrization != "fixed"
        if metal:
            psi = result.psi[:, :, : psi.shape[2]]
            eta = jnp.asarray(result.eigenvalues[:, :, : psi.shape[2], None] * np.eye(psi.shape[2]), complex)
            x = {"psi": psi, "eta": eta}
            buffer = self.buffer(at, psi)
        else:
            x = {"psi": psi, "eta": jnp.zeros((*psi.shape[:3], psi.shape[2]), complex)}
            x = in_frame({"psi": psi, "eta": self.apart(residual, at, x)[1]}, problem)
        before = np.inf
        for step in range(4):
            if metal and step < 2:
                psi, e, _ = self.lowest(at, x, x["psi"], buffer)
                buffer = psi[:, :, e.shape[2] - buffer.shape[2] :]
                n = x["psi"].shape[2]
                x = {"psi": psi[:, :, :n], "eta": (e[:, :, :n, None] * jnp.eye(n)).astype(complex)}
            d_psi, d_h = self.apart(residual, at, x)
            present = hessian_weight(at, x, self.rest, problem)
            size = float(jnp.max(jnp.sqrt(jnp.sum(jnp.abs(d_psi) ** 2, axis=-1)) * present))
            size = max(size, float(jnp.max(jnp.abs(d_h) * present[..., None] * present[..., None, :])))
            if size < SETTLED or size > 0.5 * before:
                break
            before = size
            change = self.change(inputs, x, d_psi, d_h)
            x = in_frame(_moved(x, change, problem), problem)
        return x

    def _orbitals(self, at: dict):
        return replace(self.rest.orbitals, **{name: at[name] for name in OF_ORBITALS})

    def buffer(self, at, psi):
        """Two random orbitals per k point, which help the highest band to settle."""
        most = int(self.basis.counts.min()) - psi.shape[2]
        shape = (*psi.shape[:2], max(0, min(2, most)), psi.shape[3])
        return starting.random_orbitals(jax.random.key(7), shape, self._orbitals(at))

    def lowest(self, at, x, psi, buffer):
        """Orbitals, buffer included, in the potential of a state, settled to `FINEST`; levels and residuals."""
        potential = potential_of(at, x, self.rest, problem=self.problem)
        full = jnp.concatenate([psi, buffer], axis=2)
        psi, e, norms, _ = starting.lowest_orbitals(
            full, potential, self._orbitals(at), 200, FINEST, self.key.band_block, psi.shape[2], 0
        )
        return psi, e, norms

    def change(self, inputs, x, d_residual, d_h) -> dict:
        """Change of the state that makes up for a change of the residual."""
        at = self.at(inputs)
        known, problem = (at, x, self.rest), self.problem
        b = linear(hessian.right_hand_side, (d_residual, d_h), known, problem=problem)
        v = solve.bind(*(part for part in b if part is not None), *jax.tree.leaves(at), x["psi"], x["eta"], ground=self)
        return linear(hessian.state_change, ((v[0], v[1] if len(v) > 1 else None), d_h), known, problem=problem)

    @cached_property
    def _at_tree(self):
        inputs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), parameters(self.model, self.options))
        return jax.tree.structure(jax.eval_shape(partial(setting, key=self.key), inputs, self.arrays))


def remembered(results: OrderedDict, inputs: dict, compute):
    """compute(leaves) of concrete inputs, or what it gave the last times."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(inputs)]
    label = b"".join(x.tobytes() for x in leaves)
    if label not in results:
        results[label] = compute(leaves)
        while len(results) > KEPT:
            results.popitem(last=False)
    results.move_to_end(label)
    return results[label]


def ground(model, basis, options: dict) -> Ground:
    """See `Ground`; `options` were checked by `minimize`'s own rules."""
    inputs = parameters(model, options)
    arrays = static_arrays(basis)
    if options.get("magnetization") is not None:
        arrays["magnetization"] = jnp.asarray(float(options["magnetization"]))
    arrays, key = jax.tree.map(strong, arrays), key_of(model, basis)
    problem, tree = options_of(model, basis, options).problem, jax.tree.structure(inputs)
    return Ground(model, basis, options, arrays, key, problem, tree, rest_of(prepared_at(inputs, arrays, key)))


def options_of(model, basis, given: dict):
    """Checked options of the minimization."""
    from dftopt.minimization import options

    defaults = dict(
        temperature=0.0, smearing="fermi-dirac", nbands=None, magnetization=None, parametrization="auto", minimizer="auto",
        orthonormalization="cholesky", tol=1e-12, maxiter=300, seed=0, starts=None,
    )  # fmt: skip
    return options.check(model, basis, **{k: given.get(k, v) for k, v in defaults.items()})


def parameters(model, options: dict) -> dict:
    """All continuous inputs at their own values."""
    found = {
        **model.inputs(),
        "temperature": float(options.get("temperature", 0.0)),
        "electrons": float(model.n_electrons),
    }
    return jax.tree.map(lambda x: jnp.asarray(x, float), found)


def _refuse_metal(result) -> None:
    if result.options.temperature > 0:
        return
    if not float(result.gap) > 0:
        raise InputError(
            f"{result.model.atoms.get_chemical_formula()} is a metal on these k points and temperature = 0: its bands cross the "
            "Fermi level, and the minimum has no derivative. Give a temperature (hartree; 0.005 is typical)."
        )


@partial(jax.jit, static_argnames="problem")
def hessian_weight(at, x, rest, problem):
    """Root of the occupations (s, k, b): how much a residual matters."""
    p = hessian.point_at(at, x, rest, problem)
    return jnp.minimum(1.0, p.scale_y / jnp.max(p.scale_y))


@partial(jax.jit, static_argnames="problem")
def _moved(x, change, problem: Problem):
    """The state after a change, orthonormal again."""
    return {"psi": problem.orthonormalize(x["psi"] + change["psi"]), "eta": x["eta"] + change["eta"]}


@partial(jax.jit, static_argnames="problem")
def in_frame(x, problem: Problem):
    """The state in the frame in which eta is diagonal."""
    if problem.filled is not None:  # absent bands stay the last ones
        absent = 1 - problem.fixed_occupations(x["psi"].shape[:3])
        eta = x["eta"] + (1e3 * absent)[..., None] * jnp.eye(x["eta"].shape[-1])
        e, u = jnp.linalg.eigh(eta)
        e = jnp.where(absent > 0, 0.0, e)
    else:
        e, u = jnp.linalg.eigh(x["eta"])
    return {"psi": rotate(u, x["psi"]), "eta": (e[..., None] * jnp.eye(e.shape[-1])).astype(complex)}


# ---------------------------------------------------------------------------------------------------- primitives

minimum = Primitive("dftopt_minimum")
minimum.multiple_results = True
solve = Primitive("dftopt_solve")
solve.multiple_results = True


@minimum.def_impl
def _minimum(*leaves, ground):
    x = ground.find(ground.pack(leaves))[1]
    return [x["psi"], x["eta"]]


@minimum.def_abstract_eval
def _minimum_abstract(*leaves, ground):
    raise InputError(
        "A differentiable ground state runs its minimization on the host and cannot be compiled: call it outside jax.jit "
        "(its parts are compiled already). jax.grad, jax.jvp, jax.vjp, jax.hessian and jax.vmap work."
    )


def _minimum_jvp(primals, tangents, *, ground):
    if any(type(x).__name__ in ("JVPTracer", "LinearizeTracer") for x in primals):  # a derivative of this derivative
        raise InputError(SECOND)
    x = dict(zip(("psi", "eta"), minimum.bind(*primals, ground=ground), strict=True))
    inputs = ground.pack(primals)
    changes = ground.pack([ad.instantiate_zeros(t) for t in tangents])
    _, d = jax.jvp(lambda i: ground.residual(i, x), (inputs,), (changes,))
    change = ground.change(inputs, x, *d)
    return [x["psi"], x["eta"]], [change["psi"], change["eta"]]


ad.primitive_jvps[minimum] = _minimum_jvp
loop_over_batches(minimum)


def _split(operands, ground):
    """Right-hand side, what else the ground takes, state."""
    *others, psi, eta = operands[ground.parts :]
    return operands[: ground.parts], others, {"psi": strong(psi), "eta": strong(eta)}


@solve.def_impl
@without_a_mesh
def _solve(*operands, ground):
    b, others, x = _split(operands, ground)
    v, left, n = ground.invert(others, x, b, SOLVE_TOL, PRODUCTS)
    ground.solves.append(Solve(float(left), int(n)))
    if not float(left) < ENOUGH:
        raise NotConverged(
            f"The linear solve of a derivative stopped at a relative residual of {float(left):.1e} after {int(n)} products "
            "with the Hessian: the minimum is nearly unstable, or no minimum. Look at dftopt.stability(result), give a higher "
            "temperature, or more bands."
        )
    return list(v)


@solve.def_abstract_eval
def _solve_abstract(*operands, ground):
    parts = ground.parts
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in operands[:parts]]


def _solve_jvp(primals, tangents, *, ground):
    parts = ground.parts
    if any(type(t) is not ad.Zero for t in tangents[parts:]):
        raise InputError(SECOND)
    changes = [ad.instantiate_zeros(t) for t in tangents[:parts]]
    return solve.bind(*primals, ground=ground), solve.bind(*changes, *primals[parts:], ground=ground)


def _solve_transpose(cotangents, *operands, ground):
    parts = ground.parts
    b = [ad.instantiate_zeros(c) for c in cotangents]
    return [*solve.bind(*b, *operands[parts:], ground=ground), *[None] * (len(operands) - parts)]


ad.primitive_jvps[solve] = _solve_jvp
ad.primitive_transposes[solve] = _solve_transpose
loop_over_batches(solve)
