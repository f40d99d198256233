"""What `macro.fit` returns: a macroscopic equation in the user's units, with the uncertainty of an ensemble."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro import onsager
from dftopt.macro.networks import square
from dftopt.macro.onsager import WITH_POTENTIAL, Model
from dftopt.macro.scales import Scales

REFERENCES = 512  # states that fix the constant of V


@dataclass(frozen=True, repr=False)
class Fit:
    """A learned equation dz = b dt + sigma dB of the whole system.

    Every output is the mean over the members of the ensemble; with `spread=True` the standard deviation over members comes
    with it. Z is (batch, d), one point (d,) works too. Where the data had several external parameters, `parameters=` says
    at which: a mapping by name, or (p,).

    Attributes:
        model: form and sizes.
        scales: units of training.
        params: of the networks, leading axis members.
        temperature: T of the form "fdr".
        states: (S, d) where the data was.
        parameters: (S, p) external parameters there.
        names: of the d coordinates.
        parameter_names: of the p parameters that varied.
        time_unit: in words.
        n: sites of the whole system.
        status: "converged", "epochs used up", "diverged" or "interrupted".
        held_out: (members,) minus the held-out log-likelihood per snapshot.
        history: (epochs, 2, members) training and held-out loss.
        seconds: of training.
        closure: encoder of the learned coordinates; None without.
    """

    model: Model
    scales: Scales
    params: Any
    temperature: float
    states: np.ndarray
    parameters: np.ndarray
    names: tuple[str, ...]
    parameter_names: tuple[str, ...]
    time_unit: str
    n: int
    status: str
    held_out: np.ndarray
    history: np.ndarray
    seconds: float
    closure: Any = None

    def __repr__(self) -> str:
        """One line, without the arrays."""
        at = f", depends on {', '.join(self.parameter_names)}" if self.parameter_names else ""
        return f"Fit({self.model.form}: {', '.join(self.names)}{at}; {self.members} members, {self.status})"

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return self.model.d

    @property
    def members(self) -> int:
        """Of the ensemble."""
        return len(self.held_out)

    @property
    def identifiable(self) -> str:
        """What the data determines in this form, in words."""
        if self.model.form == "fdr":
            return (
                "Drift and diffusion; where the data covers what the stationary density covers also V up to a constant, M, and the "
                "flux W grad V - T div W (W itself only up to fields without flux)."
            )
        if self.model.form == "onsager":
            return (
                "Drift and diffusion, hence the fixed points (zeros of grad V). The split of the drift into V, M and W is one of many: "
                'heights of V are not determined. form="fdr" determines them.'
            )
        return "Drift and diffusion; this form has no potential."

    def drift(self, Z, parameters=None, spread: bool = False):
        """Drift b (batch, d) per unit time.

        Raises:
            InputError: wrong shape, NaN, or parameters missing.
        """
        y, q = self.scaled(Z, parameters)
        return _mean(self.scales.drift(each("drift", self, y, q)), Z, spread)

    def diffusion(self, Z, parameters=None, spread: bool = False):
        """Diffusion Sigma = sigma sigma^T (batch, d, d) per unit time, of the whole system; errors as `drift`."""
        y, q = self.scaled(Z, parameters)
        return _mean(self.scales.matrix(each("diffusion", self, y, q)), Z, spread)

    def potential(self, Z, parameters=None, spread: bool = False):
        """V (batch,), about 0 at its lowest value among the data.

        In the form "fdr" V / T is minus the logarithm of the stationary density. In the form "onsager" its zeros of the
        gradient are the fixed points of the drift, but its values are one choice of many.

        Raises:
            InputError: as `drift`; or a form without potential.
        """
        self.needs_potential()
        y, q = self.scaled(Z, parameters)
        V = each("potential", self, y, q) * self.unit
        at, q0 = self.scaled(self.states[:: max(1, len(self.states) // REFERENCES)][:REFERENCES], parameters)
        V0 = each("potential", self, at, q0) * self.unit
        V = V - V0.mean(1, keepdims=True)  # members differ by constants
        return _mean(V - (V0 - V0.mean(1, keepdims=True)).mean(0).min(), Z, spread)

    def mobility(self, Z, parameters=None, spread: bool = False):
        """M (batch, d, d), such that the drift is -(M + W) grad V [+ T div (M + W)]; raises as `potential`."""
        self.needs_potential()
        y, q = self.scaled(Z, parameters)
        M = self.scales.matrix(each("M", self, y, q)) / self.unit
        return _mean(M, Z, spread)

    def flux(self, Z, parameters=None, spread: bool = False):
        """W grad V - T div W (batch, d): minus the part of the drift that the stationary density does not feel.

        Raises:
            InputError: as `drift`; or a form other than "fdr", where it is not defined by the data.
        """
        if self.model.form != "fdr":
            raise InputError(
                f'The flux is determined in the form "fdr" alone; this fit has form = "{self.model.form}".'
            )
        y, q = self.scaled(Z, parameters)
        return _mean(self.scales.drift(-each("flux", self, y, q)), Z, spread)

    def simulate(
        self,
        Z0,
        times,
        n: int = 1,
        seed: int = 0,
        *,
        parameters=None,
        step: float | None = None,
        equation: str = "members",
    ) -> np.ndarray:
        """Trajectories (n, times, d) of the learned equation; see `dftopt.macro.dynamics`."""
        from dftopt.macro.dynamics import simulate

        return simulate(self, Z0, times, n, seed, parameters=parameters, step=step, equation=equation)

    def stationary_points(self, parameters=None) -> list:
        """Minima, saddles and maxima of V where the data is; see `dftopt.macro.landscape`."""
        from dftopt.macro.landscape import stationary_points

        return stationary_points(self, parameters)

    def barriers(self, parameters=None) -> list:
        """Minimum-energy paths between neighbouring minima; see `dftopt.macro.landscape`."""
        from dftopt.macro.landscape import barriers

        return barriers(self, parameters)

    def save(self, path) -> None:
        """Write to a file that `macro.load` reads."""
        from dftopt.macro.files import save

        save(self, path)

    def encode(self, sim, states) -> np.ndarray:
        """Coordinates (k, d) of microscopic states (k, ...): what `sim` observes, and the learned ones next to it.

        Raises:
            InputError: the closure was learned from patches, of which a state alone does not know the size.
        """
        from dftopt.macro.components import features_of

        z = np.asarray(jax.vmap(sim.observe)(states))
        if self.closure is None:
            return z
        if self.closure.block is not None:
            raise InputError("This closure belongs to patches: take the coordinates from data, not from single states.")
        features = features_of(states, getattr(sim, "features", None), 1)[:, None]
        return np.concatenate([z, self.closure.coordinates(z, features)], 1)

    @property
    def unit(self) -> float:
        """V in the user's units over V in those of training."""
        return self.temperature / float(self.params["units"]["temperature"][0]) if self.model.form == "fdr" else 1.0

    def needs_potential(self) -> None:
        """Raise where there is no V.

        Raises:
            InputError: a baseline form.
        """
        if self.model.form not in WITH_POTENTIAL:
            raise InputError(
                f'A fit with form = "{self.model.form}" has no potential; the forms {" and ".join(WITH_POTENTIAL)} have one.'
            )

    def scaled(self, Z, parameters=None) -> tuple[jax.Array, jax.Array]:
        """Points (batch, d) and parameters (p,) in the units of training.

        Raises:
            InputError: wrong shape, NaN, or parameters missing.
        """
        Z = np.asarray(Z, float)
        if Z.ndim not in (1, 2) or Z.shape[-1] != self.dimension:
            raise InputError(
                f"Z has the shape {Z.shape}; it must be (batch, {self.dimension}): {', '.join(self.names)}."
                + (" One coordinate still needs its axis: Z[:, None]." if self.dimension == 1 else "")
            )
        if not np.isfinite(Z).all():
            raise InputError("Z holds NaN or infinity.")
        return jnp.asarray(np.atleast_2d(self.scales.y(Z))), self.scaled_parameters(parameters)

    def scaled_parameters(self, parameters=None) -> jax.Array:
        """Parameters (p,) in the units of training.

        Raises:
            InputError: missing, unknown, or of a wrong number.
        """
        names = self.parameter_names
        if parameters is None and names:
            raise InputError(f"This fit depends on {', '.join(names)}: say at which values, parameters={{...}}.")
        if isinstance(parameters, Mapping):
            wrong = set(parameters) ^ set(names)
            if wrong:
                raise InputError(f"parameters {sorted(parameters)}: this fit depends on {', '.join(names) or 'none'}.")
            parameters = [parameters[name] for name in names]
        values = np.zeros(0) if parameters is None else np.asarray(parameters, float).reshape(-1)
        if values.shape != (len(names),) or not np.isfinite(values).all():
            raise InputError(f"parameters = {parameters}: {len(names)} finite values are needed ({', '.join(names)}).")
        return jnp.asarray(self.scales.q(values))


def _mean(values, Z, spread):
    """Mean over members (and their standard deviation), without the axis of points where one point was given."""
    values = values if np.ndim(Z) == 2 else values[:, 0]
    return (values.mean(0), values.std(0)) if spread else values.mean(0)


def padded(y: jax.Array) -> jax.Array:
    """Points (batch, d), the last one repeated up to a power of 2: few shapes, few compilations."""
    size = max(16, 1 << (len(y) - 1).bit_length())
    return jnp.concatenate([y, jnp.broadcast_to(y[-1:], (size - len(y), y.shape[1]))])


def each(what: str, fit: Fit, y: jax.Array, q: jax.Array) -> np.ndarray:
    """One quantity of every member at scaled points: (members, batch, ...)."""
    return np.asarray(_each(what, fit.model, fit.params, padded(y), q))[:, : len(y)]


@partial(jax.jit, static_argnums=(0, 1))
def _each(what, model, params, y, q):
    """(members, batch, ...) of one quantity in scaled units."""
    functions = {
        "drift": onsager.drift,
        "diffusion": lambda *args: square(onsager.sigma(*args)),
        "potential": onsager.potential,
        "M": lambda *args: onsager.mobility(*args)[0],
        "flux": onsager.flux,
    }
    of_points = jax.vmap(functions[what], (None, None, 0, None))
    return jax.vmap(of_points, (0, None, None, None))(params, model, y, q)
