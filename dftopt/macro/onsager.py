r"""Stochastic OnsagerNet: dissipation, conservation and noise of a macroscopic equation, each with its own place.

In scaled coordinates y (`dftopt.macro.scales`), with external parameters q, in the Ito sense,

$$ \text{"onsager"}: \quad dy = -(M + W)\,\nabla V\,dt + \sigma\,dB, $$
$$ \text{"fdr"}: \quad dy = [-(M + W)\,\nabla V + T\,\nabla\!\cdot(M + W)]\,dt + \sigma\,dB, \qquad \sigma\sigma^T = 2TM, $$

with $M = A (\alpha I + L L^T) A$ symmetric and positive definite (A diagonal and constant), $W = L' - L'^T$ antisymmetric,
$(\nabla\!\cdot A)_i = \sum_j \partial_j A_{ij}$, and $V = \alpha_V |y|^2 +$ a bounded network: bounded below, $e^{-V/T}$ can be
normalized.

Where the system can die out (`absorbing` of a simulator: an epidemic without infected), all rates vanish with the first of
the absorbing coordinates, the activity $a$: M, W, $\sigma\sigma^T$ and so the drift are a times networks (the same equation
in a time that runs with a), and these see the other absorbing coordinates per activity, which tend to a limit. Drift and noise
of a few active members are then as accurate relative to themselves as those of many, and a dead system stays dead.

What data can tell. A drift and a diffusion are determined by increments. The plain form has more functions than these:
V, M and W are one of many splits of the drift, and only the zeros of $\nabla V$, the fixed points of the drift, mean
something (M + W is invertible). In the fluctuation-dissipation form $e^{-V/T}$ is the stationary density: there V up to a
constant and M are determined, and W through the flux $W\nabla V - T\,\nabla\!\cdot W$ alone (fields such as $c J e^{V/T}$
in two dimensions add no drift), where the data covers what the stationary density covers.

References:
    Chen, Soh, Ooi, Vissol-Gaudin, Yu, Novoselov, Hippalgaonkar, Li, Nature Computational Science 2024 (arXiv 2308.04119);
    Yu, Tian, E, Li, Physical Review Fluids 6, 114402 (2021); identifiability: arXiv 2510.24160.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dftopt.macro.networks import apply, apply_along, cholesky, lower, monomials, network, product, square

FORMS = ("onsager", "fdr", "network", "linear")
WITH_POTENTIAL = ("onsager", "fdr")
LEAST = 0.01  # of the mean noise
ONE = 0.5413248546129181  # softplus of this is 1
SEEN = 4.0  # standard deviations: polynomials are evaluated no farther out


@dataclass(frozen=True)
class Model:
    """What does not change while a model is trained; static in compiled functions.

    Args:
        d: coordinates.
        p: external parameters.
        form: one of `FORMS`; the last two are baselines without structure.
        width: of the two hidden layers.
        absorbing: coordinates that vanish together; the first is the activity. Their scaled zero is at 0.
    """

    d: int
    p: int
    form: str
    width: int
    absorbing: tuple[int, ...] = ()


def initial(key: jax.Array, model: Model, noise, temperature, inputs=None) -> dict:
    """Starting parameters of one member of an ensemble.

    Args:
        key: random key.
        model: sizes.
        noise: (d,) scale of sigma per coordinate, in scaled units; kept among the parameters, never trained.
        temperature: T in scaled units; likewise.
        inputs: centre (d + p,) and matrix (d + p, d + p) that make what the networks see uncorrelated; likewise. Default:
            as it is.
    """
    d, n, w = model.d, model.d + model.p, model.width
    centre, white = (jnp.zeros(n), jnp.eye(n)) if inputs is None else inputs
    units = {"noise": jnp.asarray(noise), "temperature": jnp.asarray(temperature)}
    units |= {"centre": jnp.asarray(centre), "white": jnp.asarray(white)}
    one, two, three = jax.random.split(key, 3)
    triangle = d * (d + 1) // 2
    if model.form == "linear":
        linear = {"A": -0.5 * jnp.eye(d), "c": jnp.zeros(d), "B": jnp.zeros((d, model.p)), "sigma": jnp.zeros(triangle)}
        return {**linear, "units": units}
    params: dict = {"units": units, "sigma": network(two, (n, w, w, triangle))}
    if model.form == "network":
        return {**params, "drift": network(one, (n, w, w, d), 0.0)}  # what the polynomial leaves
    params = {"units": units, "V": network(one, (n, w, w, 1)), "V_growth": jnp.zeros(()), "M_floor": jnp.full((), -2.0)}
    if model.absorbing:
        params["V_slope"] = jnp.ones(d)
    params["MW"] = network(two, (n, w, w, d * d + triangle))
    if model.form == "onsager":
        params["sigma"] = network(three, (n, w, w, triangle))
    return params


def activity(model: Model, y: jax.Array) -> jax.Array:
    """Factor of drift and diffusion at points y (..., d): 1, or the first absorbing coordinate."""
    return jnp.maximum(y[..., model.absorbing[0]], 0) if model.absorbing else jnp.ones(y.shape[:-1], y.dtype)


def seen(params: dict, model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """What the networks of M, W, sigma and of a drift without structure see of one point (d + p,)."""
    held = jax.lax.stop_gradient(params["units"])
    return held["white"] @ (raw(model, y, q) - held["centre"])


def raw(model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """Coordinates and parameters of one point (d + p,), the absorbing coordinates but the first per activity."""
    if model.absorbing:
        carried = jnp.array([i in model.absorbing[1:] for i in range(model.d)])
        y = jnp.where(carried, y / jnp.maximum(activity(model, y), 1e-6), y)
    return jnp.concatenate([y, q])


def units(params: dict) -> tuple[jax.Array, jax.Array]:
    """Noise scale (d,) and T, which are not trained."""
    held = jax.lax.stop_gradient(params["units"])
    return held["noise"], held["temperature"]


def potential(params: dict, model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """V of one point y (d,)."""
    if model.absorbing:  # V falls all the way to the end, which may be anywhere: no lowest point to begin with
        growth = jax.nn.softplus(params["V_growth"] + params["V_slope"] @ y)
    else:
        growth = 0.5 * jax.nn.softplus(params["V_growth"]) * y @ y
    return growth + apply(params["V"], jnp.concatenate([y, q]))[0]


def mobility(params: dict, model: Model, y: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
    """M and W (d, d) of one point."""
    return _matrices(params, model, apply(params["MW"], seen(params, model, y, q)), activity(model, y))


def _matrices(params: dict, model: Model, out: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """M and W of what their network says and the activity."""
    d = model.d
    L = positive_diagonal(lower(out[: d * (d + 1) // 2], d))  # else L L^T has no gradient where an element is 0
    free = out[d * (d + 1) // 2 :].reshape(d, d)
    M = 0.1 * jax.nn.softplus(params["M_floor"]) * jnp.eye(d, dtype=out.dtype) + square(L)
    if model.form == "fdr":
        noise, T = units(params)
        A = noise / jnp.sqrt(2 * T)
        M = A[:, None] * M * A
    return a * M, a * (free - free.T)


def drift(params: dict, model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """Drift (d,) of one point."""
    if model.form == "linear":
        return params["A"] @ y + params["c"] + params["B"] @ q
    if model.form == "network":
        x = seen(params, model, y, q)
        return activity(model, y) * (polynomial(params, x) + apply(params["drift"], x))
    slope = jax.grad(potential, 2)(params, model, y, q)
    M, W = mobility(params, model, y, q)
    b = -product(M + W, slope)
    return b + units(params)[1] * divergence(params, model, y, q) if model.form == "fdr" else b


def polynomial(params: dict, x: jax.Array) -> jax.Array | float:
    """The part of an unstructured drift that least squares found before training, of what is seen of one point."""
    if "cubic" not in params["units"]:
        return 0.0
    coefficients = jax.lax.stop_gradient(params["units"]["cubic"])
    return monomials(jnp.clip(x, -SEEN, SEEN), len(coefficients)) @ coefficients


def divergence(params: dict, model: Model, y: jax.Array, q: jax.Array, which=slice(None)) -> jax.Array:
    """sum_j d_j A_ij of A = M + W, or of W alone with `which=slice(1, None)`."""
    inputs = lambda x: (seen(params, model, x, q), activity(model, x))
    x, a = inputs(y)
    along = [jax.jvp(inputs, (y,), (e,))[1] for e in jnp.eye(model.d, dtype=y.dtype)]
    out, slopes = apply_along(params["MW"], x, [dx for dx, _ in along])
    column = lambda j: lambda out, a: sum(_matrices(params, model, out, a)[which])[:, j]  # type: ignore[index]
    return sum(jax.jvp(column(j), (out, a), (slopes[j], da))[1] for j, (_, da) in enumerate(along))  # type: ignore[return-value]


def flux(params: dict, model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """The part of the drift that moves no probability out of the stationary density: T div W - W grad V (d,)."""
    W = mobility(params, model, y, q)[1]
    slope = jax.grad(potential, 2)(params, model, y, q)
    return -product(W, slope) + units(params)[1] * divergence(params, model, y, q, slice(1, None))


def sigma(params: dict, model: Model, y: jax.Array, q: jax.Array) -> jax.Array:
    """Lower triangular sigma (d, d) of one point, sigma sigma^T the diffusion per scaled time."""
    d = model.d
    if model.form == "fdr":
        return jnp.sqrt(2 * units(params)[1]) * cholesky(mobility(params, model, y, q)[0])
    linear = model.form == "linear"
    L = lower(params["sigma"] if linear else apply(params["sigma"], seen(params, model, y, q)), d)
    L = units(params)[0][:, None] * positive_diagonal(L)
    return L if linear else jnp.sqrt(activity(model, y)) * L


def positive_diagonal(L: jax.Array) -> jax.Array:
    """L (d, d) with its diagonal x made positive, 1 at x = 0.

    It keeps away from 0: where nothing moves in some direction, the likelihood would grow without end.
    """
    return L + jnp.diag(LEAST + (1 - LEAST) * jax.nn.softplus(jnp.diagonal(L) + ONE) - jnp.diagonal(L))
