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


def _with_orbitals(
    c: Float[Array, "a sb"], w: Float[Array, "s b"], values: Float[Array, "a c p"], kind: str, potential
):
    r"""Energy, electrons and $V\psi$ (a, sb) of a block, from values and gradients of the orbitals: 4ab products a point, twice."""
    s, b = w.shape
    g = jnp.einsum("ar,acp->rcp", c, values).reshape(s, b, *values.shape[1:])
    e, electrons, v = potential(fields(g, w, kind))
    _, pull = jax.vjp(lambda y: fields(y, jnp.ones_like(w), kind), g)
    half = 0.5 * pull(v)[0].reshape(s * b, *values.shape[1:])
    return e, electrons, jnp.einsum("acp,rcp->ar", values, half)


def _with_functions(
    c: Float[Array, "a sb"], w: Float[Array, "s b"], values: Float[Array, "a c p"], kind: str, potential
):
    r"""The same of a GGA without gradients of orbitals.

    With $q_a = \sum_b D_{ab} \phi_b$ is $\nabla\rho = 2 \sum_a q_a \nabla\phi_a$, and with
    $u_a = \frac12 v_\rho \phi_a + v_{\nabla\rho} \cdot \nabla\phi_a$ is $V_{ab} = \sum_p \phi_a u_b + u_a \phi_b$.
    Either from orbitals, 5ab products a point, or from matrices, 2aa a point and 3aab a block, whichever is less.
    """
    (a, _, points), (s, b) = values.shape, w.shape
    c, phi = c.reshape(a, s, b), values[:, 0]
    by_matrix = a * (2 * points + 3 * b) < 5 * b * points
    columns = [c[:, spin] for spin in range(s)]  # products of plain matrices, one after another
    if by_matrix:
        q = [((one * n) @ one.T) @ phi for one, n in zip(columns, w, strict=True)]
    else:
        psi = [one.T @ phi for one in columns]
        q = [(one * n) @ p for one, n, p in zip(columns, w, psi, strict=True)]
    e, electrons, v = potential(jnp.stack([_gga_fields(x, values) for x in q]))
    u = [_half_potential(x, values) for x in v]
    if by_matrix:
        out = [_symmetric(phi, x) @ one for one, x in zip(columns, u, strict=True)]
    else:
        out = [phi @ (one.T @ x).T + x @ p.T for one, x, p in zip(columns, u, psi, strict=True)]
    return e, electrons, jnp.stack(out, axis=1).reshape(a, s * b)


def _gga_fields(q: Float[Array, "a p"], values: Float[Array, "a c p"]) -> Float[Array, "4 p"]:
    r"""$\rho = \sum_a q_a \phi_a$ and $\nabla\rho = 2 \sum_a q_a \nabla\phi_a$ for $q_a = \sum_b D_{ab} \phi_b$."""
    return jnp.sum(q[:, None] * values, axis=0) * jnp.array([1.0, 2.0, 2.0, 2.0])[:, None]


def _half_potential(v: Float[Array, "4 p"], values: Float[Array, "a c p"]) -> Float[Array, "a p"]:
    r"""$u_a = \frac12 v_\rho \phi_a + v_{\nabla\rho} \cdot \nabla\phi_a$."""
    return 0.5 * v[0] * values[:, 0] + sum(v[k] * values[:, k] for k in (1, 2, 3))


def _symmetric(phi: Float[Array, "a p"], u: Float[Array, "a p"]) -> Float[Array, "a a"]:
    half = phi @ u.T
    return half + half.T


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
    block_of = _with_functions if functional.kind == "gga" else _with_orbitals

    def one(carry, block):
        e, n, out = carry
        values, index, weights = block
        potential = lambda x: _potential(x, weights, functional, parameters)
        part, electrons, vpsi = block_of(_rows(index, columns), w, values, functional.kind, potential)
        return (e + part, n + electrons, _add_rows(index, out, vpsi)), None

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
        a, rows = values.shape[0], _rows(index, columns)
        if kind == "gga":
            c = rows.reshape(a, s, b)
            q = [((c[:, spin] * w[spin]) @ c[:, spin].T) @ values[:, 0] for spin in range(s)]
            x = jnp.stack([_gga_fields(one, values) for one in q])
            _, _, v = _potential(x, weights, functional, parameters)
            part = jnp.stack([_symmetric(values[:, 0], _half_potential(one, values)) for one in v])
        else:
            g = jnp.einsum("ar,acp->rcp", rows, values).reshape(s, b, *values.shape[1:])
            _, _, v = _potential(fields(g, w, kind), weights, functional, parameters)
            part = jax.grad(lambda d: jnp.sum(v * _fields_of_matrix(d, values, kind)))(jnp.zeros((s, a, a)))
            part = 0.5 * (part + part.swapaxes(1, 2))
        return (out + part if index is None else out.at[:, index[:, None], index].add(part)), None

    out = jnp.zeros((s, nao, nao))
    for group in blocks:
        out, _ = jax.lax.scan(one, out, group)
    return out
