"""The free energy as a function on a manifold: orbitals and the parameters of their occupations.

A point is {"psi": (s, k, b, npw), "occ": ...}; a tangent {"perp": change of psi orthogonal to their span,
"rot": anti-Hermitian rotation among them (where the parametrization needs one), "occ": change of "occ"}.

| parametrization | "occ" | rotations among bands |
|---|---|---|
| fixed | nothing; f = 1 (0 beyond the filled bands of a spin) | none: A does not depend on them |
| auxiliary | levels e, the diagonal of the auxiliary Hamiltonian | by its eigenvectors |
| capped-simplex | levels e | explicit, so H becomes diagonal by itself |
| row-norm | matrix U with orthonormal columns | explicit, so H becomes diagonal by itself |
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import everywhere
from dftopt.energy.free_energy import energies_and_hpsi, weights
from dftopt.minimization import occupations as occ
from dftopt.minimization.descent import Evaluation
from dftopt.minimization.orbitals import ORTHONORMALIZATIONS, overlap, teter
from dftopt.minimization.smearing import Smearing

PARAMETRIZATIONS = ("fixed", "row-norm", "capped-simplex", "auxiliary")


def rotate(q, x):
    """Rows x_i -> sum_j x_j q_ji."""
    return jnp.einsum("...ji,...jg->...ig", q, x)


def norms(r):
    """Norms of residuals (..., npw)."""
    return jnp.sqrt(jnp.sum(r.real**2 + r.imag**2, -1))


def _hermitian(m):
    return 0.5 * (m + m.conj().swapaxes(-1, -2))


@dataclass(frozen=True)
class Problem:
    """Static description; `data` of its methods is (prepared, temperature).

    Attributes:
        parametrization: one of `PARAMETRIZATIONS`.
        kind: the smearing; unused for "fixed".
        orthonormalization: "cholesky", "qr" or "loewdin".
        filled: bands that each spin channel fills, where these differ ("fixed" only); the others are zero and absent.
    """

    parametrization: str
    kind: Smearing
    orthonormalization: str = "cholesky"
    filled: tuple[int, ...] | None = None

    def fixed_occupations(self, shape):
        """F (s, k, b) of the "fixed" parametrization."""
        if self.filled is None:
            return jnp.ones(shape)
        return jnp.broadcast_to((np.arange(shape[2]) < np.array(self.filled)[:, None])[:, None].astype(float), shape)

    def orthonormalize(self, c):
        """Orthonormal orbitals from coefficients; absent bands stay zero."""
        orth = ORTHONORMALIZATIONS[self.orthonormalization]
        if self.filled is None:
            return orth(c)
        nb, npw = c.shape[-2:]
        present = self.fixed_occupations(c.shape[:3])[..., None]
        # absent bands become unit vectors along coordinates of their own, so that every overlap matrix is regular
        own = (1 - present) * jnp.eye(nb)
        return orth(jnp.concatenate([c * present, own], axis=-1))[..., :npw] * present

    @property
    def is_minimum(self) -> bool:
        """Whether the solution is a minimum of A (else a stationary point found by its residual)."""
        return self.parametrization == "fixed" or self.kind.is_minimum

    def occupations(self, x, data):
        """F (s, k, b), mu, -T S at a point."""
        prepared, temperature = data
        w = weights(prepared)
        shape = x["psi"].shape[:3]
        if self.parametrization == "fixed":
            return self.fixed_occupations(shape), jnp.nan, 0.0
        if self.parametrization == "row-norm":
            f = occ.row_norms(x["occ"], shape)
            return f, jnp.nan, -temperature * jnp.sum(w * occ.fermi_dirac_entropy(f))
        levels, w = (everywhere(a, prepared.devices) for a in (x["occ"], w))  # the search for mu needs no exchange then
        return occ.from_levels(levels, w, prepared.filling, temperature, self.kind)

    def evaluate(self, x, data) -> Evaluation:
        """Free energy, gradient and preconditioned gradient; see `descent.Evaluation`."""
        prepared, temperature = data
        psi, w = x["psi"], weights(prepared)
        f, mu, entropy = self.occupations(x, data)
        extrapolation = 0.0 if self.parametrization == "fixed" else self.kind.extrapolation
        e, hpsi = energies_and_hpsi(psi, f, prepared, entropy, extrapolation)
        h, r, z = self.residuals(psi, hpsi, prepared.orbitals)
        gradient, direction = self.tangents(x, f, mu, h, r, z, w, temperature)
        return Evaluation(e.free, gradient, direction, self.info(e, f, mu, h, norms(r)))

    @staticmethod
    def info(energies, f, mu, h, residual) -> dict:
        """What is kept of an evaluation."""
        return {"energies": energies, "f": f, "mu": jnp.asarray(mu), "h": h, "residual": residual}

    @staticmethod
    def residuals(psi, hpsi, orbitals):
        """H among the orbitals, residuals r = H psi - psi H, and preconditioned ones."""
        h = _hermitian(overlap(psi, hpsi))
        r = hpsi - rotate(h, psi)
        kinetic = jnp.sum((psi.real**2 + psi.imag**2) * orbitals.half_q2[:, None], axis=-1)
        z = teter(orbitals.half_q2[:, None], kinetic) * r * orbitals.mask[:, None]
        return h, r, z - rotate(overlap(psi, z), psi)

    @staticmethod
    def gradient(r, f, w):
        """Of the orbitals; outside [0, 1] the sign of f must not turn the descent of an orbital around."""
        return 2 * (w * jnp.abs(f))[..., None] * r

    def tangents(self, x, f, mu, h, r, z, w, temperature):
        """Gradient and preconditioned gradient, from H among the orbitals, residuals r and preconditioned ones z."""
        gradient = {"perp": self.gradient(r, f, w)}
        direction = {"perp": z}
        h_diag = jnp.real(jnp.diagonal(h, axis1=-2, axis2=-1))
        if self.parametrization == "auxiliary":
            level = x["occ"]
            g = occ.auxiliary_gradient(h, f, level, mu, w, temperature, self.kind)
            if not self.is_minimum:  # residual only, weighted as if f fell monotonically
                g = (
                    w[..., None]
                    * (h - level[..., None] * jnp.eye(h.shape[-1]))
                    * self._monotonic_ratio(level, mu, temperature)
                )
            gradient["occ"], direction["occ"] = g, level[..., None] * jnp.eye(h.shape[-1]) - h
        elif self.parametrization == "capped-simplex":
            gradient["rot"], direction["rot"] = occ.rotation_gradient(h, f, w), occ.rotation_direction(h, f)
            a, b = occ.level_gradient(h_diag, x["occ"], mu, w, temperature, self.kind)
            gradient["occ"], direction["occ"] = a + b, x["occ"] - h_diag
        elif self.parametrization == "row-norm":
            gradient["rot"], direction["rot"] = occ.rotation_gradient(h, f, w), occ.rotation_direction(h, f)
            safe = jnp.clip(f, 1e-300, 1 - 1e-16)
            c = h_diag + temperature * (jnp.log(safe) - jnp.log1p(-safe))
            u = x["occ"]
            g = 2 * u * (w * c).reshape(-1, 1)
            gradient["occ"] = g - u @ (0.5 * (u.T @ g + g.T @ u))
            # curvature of A along a row: 4 w T / (1 - f) where f is small, w |c| between levels
            stiffness = jnp.broadcast_to(w * (4 * temperature + 0.5 * jnp.std(h_diag)), f.shape).reshape(-1, 1)
            g = gradient["occ"] / stiffness
            direction["occ"] = g - u @ (0.5 * (u.T @ g + g.T @ u))
        return gradient, direction

    def _monotonic_ratio(self, level, mu, temperature):
        from dftopt.minimization.smearing import SMEARINGS

        gaussian = SMEARINGS["gaussian"]
        f = gaussian.occupation((level - mu) / temperature)
        return occ.divided_difference(f, level, mu, temperature, gaussian)

    def retract(self, x, d, t):
        """The point x + t d and the rotation of the bands on the way.

        The rotation comes first, so that the factorizations wait for each other: two that run at once on XLA's CPU
        threads can wait for each other's threads for ever.
        """
        psi = x["psi"] + t * d["perp"]
        eye = jnp.eye(psi.shape[2])
        if self.parametrization == "fixed":
            return {"psi": self.orthonormalize(psi), "occ": ()}, jnp.broadcast_to(eye, (*psi.shape[:3], psi.shape[2]))
        if self.parametrization == "auxiliary":
            e, q = jnp.linalg.eigh(x["occ"][..., None] * eye + t * d["occ"])
            return {"psi": self.orthonormalize(rotate(q, psi)), "occ": e}, q
        q = occ.cayley(t * d["rot"])
        moved = x["occ"] + t * d["occ"]
        if self.parametrization == "row-norm":
            moved = occ.orthonormal_columns(moved)
        return {"psi": self.orthonormalize(rotate(q, psi)), "occ": moved}, q

    def transport(self, v, x, q):
        """Carry a tangent along the last retraction to its end point x."""
        return self.project(self.turn(v, q), x)

    def turn(self, v, q):
        """Tangents (..., s, k, b, npw) in the frame of the bands after their rotation q."""
        if self.parametrization == "fixed":
            return v
        qh = q.conj().swapaxes(-1, -2)
        turned = {"perp": rotate(q, v["perp"])} | {name: v[name] for name in v if name != "perp"}
        for name in ("rot", "occ") if self.parametrization == "auxiliary" else ("rot",):
            if name in v:
                turned[name] = qh @ v[name] @ q
        return turned

    def project(self, v, x):
        """The tangent at x nearest to v."""
        psi = x["psi"]
        out = v | {"perp": v["perp"] - rotate(overlap(psi, v["perp"]), psi)}
        if self.parametrization == "row-norm":
            u, g = x["occ"], v["occ"]
            out["occ"] = g - u @ (0.5 * (u.T @ g + g.T @ u))
        return out
