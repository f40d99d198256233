"""Exchange and correlation of a molecule: a sum over quadrature points, block by block so that values stay in the cache.

Fields at a point are (rho), (rho, grad rho) or (rho, grad rho, tau) for LDA, GGA and meta-GGA, per spin: (s, k, points).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.bases.quadrature import Blocks
from dftopt.energy.exchange_correlation import floored
from dftopt.xc import Functional


def fields(g: Float[Array, "s b c p"], w: Float[Array, "s b"], kind: str) -> Float[Array, "s k p"]:
    """Fields of orbitals with values (and gradients) g at the points and weights w (electrons each)."""
    psi = g[:, :, 0]
    rho = jnp.einsum("sb,sbp->sp", w, psi**2)
    if kind in ("none", "lda"):
        return rho[:, None]
    slope = g[:, :, 1:]
    gradient = 2 * jnp.einsum("sbp,sbdp->sdp", w[..., None] * psi, slope)
    parts = [rho[:, None], gradient]
    if kind == "mgga":
        parts.append(0.5 * jnp.einsum("sb,sbdp->sp", w, slope**2)[:, None])
    return jnp.concatenate(parts, axis=1)


def _fields_of_matrix(d: Float[Array, "s a a"], v: Float[Array, "a c p"], kind: str) -> Float[Array, "s k p"]:
    """The same of a density matrix (both are tested against each other)."""
    c = jnp.einsum("sab,bp->sap", d, v[:, 0])
    rho = jnp.sum(v[:, 0] * c, axis=1)
    if kind in ("none", "lda"):
        return rho[:, None]
    parts = [rho[:, None], 2 * jnp.einsum("adp,sap->sdp", v[:, 1:], c)]
    if kind == "mgga":
        parts.append(0.5 * jnp.einsum("adp,sab,bdp->sp", v[:, 1:], d, v[:, 1:])[:, None])
    return jnp.concatenate(parts, axis=1)


def energy_density(x: Float[Array, "s k p"], functional: Functional, parameters: dict) -> Float[Array, " p"]:
    """Exchange-correlation energy per volume at each point, hartree/bohr^3."""
    if functional.kind == "none":
        return jnp.zeros(x.shape[-1])
    rho, gradient, tau, sigma = x[:, 0], None, None, None
    if functional.kind in ("gga", "mgga"):
        gradient = x[:, 1:4]
    if functional.kind == "mgga":
        tau = x[:, 4]
    if len(rho) == 2:
        rho, gradient, tau = floored(rho, gradient, tau)
    if gradient is not None:
        pairs = [(0, 0)] if len(rho) == 1 else [(0, 0), (0, 1), (1, 1)]
        sigma = jnp.stack([jnp.sum(gradient[a] * gradient[b], axis=0) for a, b in pairs])
    return functional.energy_density(rho, sigma, tau, parameters=parameters)


def _potential(x, weights, functional, parameters):
    """Energy of a block, electrons per spin and unpaired ones in it, and the derivative of the energy in the fields."""
    total = lambda y: jnp.sum(weights * energy_density(y, functional, parameters))
    e, v = jax.value_and_grad(total)(x)
    counted = jnp.append(jnp.sum(weights * x[:, 0], axis=1), jnp.sum(weights * jnp.abs(x[0, 0] - x[-1, 0])))
    return e, counted, v


def _rows(index, coefficients):
    return coefficients if index is None else coefficients[index]


def _add_rows(index, total, part):
    return total + part if index is None else total.at[index].add(part)


def energy_and_hpsi(
    psi: Float[Array, "s b nao"],
    w: Float[Array, "s b"],
    blocks: tuple[Blocks, ...],
    functional: Functional,
    parameters: dict,
):
    r"""$E_{xc}$, integrals of the density per spin and of $|\rho_\uparrow - \rho_\downarrow|$ (s + 1,), and $V_{xc}\psi$ (s, b, nao).

    $V_{xc}\psi_i$ is half the derivative of $\sum_i \langle\psi_i|V_{xc}|\psi_i\rangle$ at fixed potential: it is there for
    empty orbitals too.
    """
    s, b, nao = psi.shape
    columns = psi.reshape(s * b, nao).T
    kind = functional.kind

    def one(carry, block):
        e, n, out = carry
        values, index, weights = block
        g = jnp.einsum("ar,acp->rcp", _rows(index, columns), values).reshape(s, b, *values.shape[1:])
        part, electrons, v = _potential(fields(g, w, kind), weights, functional, parameters)
        _, pull = jax.vjp(lambda y: fields(y, jnp.ones_like(w), kind), g)
        half = 0.5 * pull(v)[0].reshape(s * b, *values.shape[1:])
        return (e + part, n + electrons, _add_rows(index, out, jnp.einsum("acp,rcp->ar", values, half))), None

    carry = (jnp.zeros(()), jnp.zeros(s + 1), jnp.zeros_like(columns))
    for group in blocks:
        carry, _ = jax.lax.scan(one, carry, group)
    e, n, out = carry
    return e, n, out.T.reshape(s, b, nao)


def matrix(
    psi: Float[Array, "s b nao"],
    w: Float[Array, "s b"],
    blocks: tuple[Blocks, ...],
    functional: Functional,
    parameters: dict,
) -> Float[Array, "s nao nao"]:
    """The matrix of V_xc of these orbitals in the basis, hartree."""
    s, b, nao = psi.shape
    columns = psi.reshape(s * b, nao).T
    kind = functional.kind

    def one(out, block):
        values, index, weights = block
        g = jnp.einsum("ar,acp->rcp", _rows(index, columns), values).reshape(s, b, *values.shape[1:])
        _, _, v = _potential(fields(g, w, kind), weights, functional, parameters)
        a = values.shape[0]
        part = jax.grad(lambda d: jnp.sum(v * _fields_of_matrix(d, values, kind)))(jnp.zeros((s, a, a)))
        part = 0.5 * (part + part.swapaxes(1, 2))
        return (out + part if index is None else out.at[:, index[:, None], index].add(part)), None

    out = jnp.zeros((s, nao, nao))
    for group in blocks:
        out, _ = jax.lax.scan(one, out, group)
    return out
