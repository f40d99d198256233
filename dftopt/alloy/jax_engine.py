"""The lattice loops in JAX, for machines without numba: the replicas go side by side through one compiled loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import dftopt.precision  # noqa: F401  (double precision before the first array)
from dftopt.alloy.hamiltonian import Hamiltonian
from dftopt.macro.random import below, uniform, words

NAME = "jax"


def _tables(h: Hamiltonian, weighted: bool = True):
    energies = h.weighted if weighted else h.energies
    return jax.tree.map(jnp.asarray, (h.onsite, tuple(h.neighbours), tuple(energies)))


def _local(tables, sublattices, s, i):
    """Energy of all clusters with site i."""
    onsite, neighbours, energies = tables
    b = i % sublattices
    e = onsite[s[i]]
    for near, table in zip(neighbours, energies, strict=True):
        if near.shape[1]:
            others = s[near[i]]  # (R, k - 1)
            own = table[b, :, s[i]]
            e += jnp.sum(own[(jnp.arange(len(own)), *(others[:, l] for l in range(near.shape[2])))])
    return e


def totals(h: Hamiltonian, codes: np.ndarray) -> np.ndarray:
    """(configurations,) energies, eV."""
    out = np.asarray(_totals(_tables(h, False), jnp.asarray(codes, jnp.int32), len(h.supercell.parent.basis)))
    return out + h.constant * len(h.supercell)


@partial(jax.jit, static_argnums=2)
def _totals(tables, codes, sublattices):
    onsite, neighbours, energies = tables

    def one(s):
        total = jnp.sum(onsite[s])
        b = jnp.arange(len(s)) % sublattices
        for near, table in zip(neighbours, energies, strict=True):
            if near.shape[1]:
                others = s[near]  # (n, R, k - 1)
                own = b[:, None], jnp.arange(near.shape[1])[None], s[:, None]
                total += jnp.sum(table[(*own, *(others[..., l] for l in range(near.shape[2])))]) / (near.shape[2] + 1)
        return total

    return jax.lax.map(one, codes)


def _words_of(seeds):
    """(R, 1) uint64 to two words each; the seeds advance."""
    out = jnp.asarray((seeds[:, 0] & 0xFFFFFFFF).astype(np.uint32)), jnp.asarray((seeds[:, 0] >> 32).astype(np.uint32))
    seeds += np.uint64(0x9E3779B97F4A7C15)
    return out


def swaps(h: Hamiltonian, states, seeds, energies, kT, attempts: int) -> np.ndarray:
    """Canonical attempts (pairs of like sites count as refused) in every replica, in place; accepted numbers (R,)."""
    return _sweep(h, states, seeds, energies, kT, attempts, None)


def flips(h: Hamiltonian, states, seeds, energies, kT, attempts: int, mu) -> np.ndarray:
    """Semi-grand attempts; mu (K,) eV; else as `swaps`."""
    return _sweep(h, states, seeds, energies, kT, attempts, jnp.asarray(mu, float))


def _sweep(h, states, seeds, energies, kT, attempts, mu):
    sublattices = len(h.supercell.parent.basis)
    s, e, accepted = _metropolis(
        _tables(h),
        jnp.asarray(states),
        _words_of(seeds),
        jnp.asarray(energies),
        jnp.asarray(kT),
        attempts,
        mu,
        sublattices,
    )
    states[:], energies[:] = np.asarray(s), np.asarray(e)
    return np.asarray(accepted)


@partial(jax.jit, static_argnums=7)
def _metropolis(tables, states, seeds, energies, kT, attempts, mu, sublattices):
    def replica(s, seed, e, kT):
        def attempt(k, carry):
            s, e, accepted = carry
            w = words(seed, k.astype(jnp.uint32))
            i = below(w[0], s.size)
            if mu is None:
                j = below(w[1], s.size)
                first = s.at[i].set(s[j])
                second = first.at[j].set(s[i])
                dE = _local(tables, sublattices, first, i) - _local(tables, sublattices, s, i)
                dE += _local(tables, sublattices, second, j) - _local(tables, sublattices, first, j)
                moves, cost = s[i] != s[j], dE
            else:
                new = ((s[i] + 1 + below(w[1], mu.size - 1)) % mu.size).astype(s.dtype)
                second = s.at[i].set(new)
                dE = _local(tables, sublattices, second, i) - _local(tables, sublattices, s, i)
                moves, cost = True, dE - mu[new] + mu[s[i]]
            moves &= jnp.log(uniform(w[2])) < -cost / kT
            return jnp.where(moves, second, s), e + jnp.where(moves, dE, 0.0), accepted + moves

        return jax.lax.fori_loop(0, attempts, attempt, (s, e, jnp.zeros((), jnp.int64)))

    return jax.vmap(replica)(states, seeds, energies, kT)


def _rates(tables, sublattices, hop, kra, kT, s, v):
    """Rates over the prefactor and energy changes (z,) of the jumps into vacancy v."""
    empty = s[v]

    def one(j):
        first = s.at[v].set(s[j])
        second = first.at[j].set(empty)
        dE = _local(tables, sublattices, first, v) - _local(tables, sublattices, s, v)
        dE += _local(tables, sublattices, second, j) - _local(tables, sublattices, first, j)
        barrier = jnp.maximum(jnp.maximum(kra[s[j]] + dE / 2, dE), 0.0)
        possible = s[j] != empty
        return jnp.where(possible, jnp.exp(-barrier / kT), 0.0), jnp.where(possible, dE, 0.0)

    return jax.vmap(one)(hop[v])


def rates(h: Hamiltonian, geometry, state, vacancies, kra, kT: float):
    """Rates over the prefactor and energy changes (V, z) of all jumps of one configuration."""
    out, changes = _all_rates(
        _tables(h), jnp.asarray(geometry.hop), jnp.asarray(kra), kT, state, vacancies, len(h.supercell.parent.basis)
    )
    return np.asarray(out), np.asarray(changes)


@partial(jax.jit, static_argnums=6)
def _all_rates(tables, hop, kra, kT, state, vacancies, sublattices):
    return jax.vmap(partial(_rates, tables, sublattices, hop, kra, kT, state))(vacancies)


def jumps(h: Hamiltonian, geometry, replicas, until, most: int, kra, prefactor: float, kT: float) -> np.ndarray:
    """Jumps of every replica until its time `until` (R,) or `most`, in place; their numbers (R,)."""
    seeds = _words_of(replicas["seed"])
    kept = {name: jnp.asarray(array) for name, array in replicas.items() if name != "seed"}
    lattice = jnp.asarray(geometry.hop), jnp.asarray(geometry.vectors)
    out, done = _jump_loop(
        _tables(h), lattice, kept, seeds, jnp.asarray(until), most, jnp.asarray(kra), prefactor, kT,
        len(h.supercell.parent.basis),
    )  # fmt: skip
    for name, array in out.items():
        replicas[name][:] = np.asarray(array)
    return np.asarray(done)


@partial(jax.jit, static_argnums=9)
def _jump_loop(tables, lattice, replicas, seeds, until, most, kra, prefactor, kT, sublattices):
    hop, vectors = lattice

    def replica(x, seed, until):
        def jump(carry):
            x, done = carry
            s = x["state"]
            r, changes = jax.vmap(partial(_rates, tables, sublattices, hop, kra, kT, s))(x["vacancies"])
            w = words(seed, done.astype(jnp.uint32))
            total = jnp.sum(r)
            wait = -jnp.log(uniform(w[0])).astype(float) / (total * prefactor)
            goes = x["clock"][0] + wait <= until
            cumulative = jnp.cumsum(r.reshape(-1))
            last = jnp.max(jnp.where(r.reshape(-1) > 0, jnp.arange(r.size), 0))  # rounding may run past it
            pick = jnp.minimum(jnp.sum(cumulative < uniform(w[1]) * total), last)
            k, h = pick // r.shape[1], pick % r.shape[1]
            v = x["vacancies"][k]
            j = hop[v, h]
            who = x["atom"][j]
            after = {
                "state": s.at[v].set(s[j]).at[j].set(s[v]),
                "clock": x["clock"] + wait,
                "energy": x["energy"] + changes[k, h],
                "vacancies": x["vacancies"].at[k].set(j),
                "number": x["number"].at[v].set(-1).at[j].set(k),
                "atom": x["atom"].at[v].set(who).at[j].set(x["atom"][v]),
                "moved": x["moved"].at[who].add(-vectors[v % sublattices, h]),
                "counts": x["counts"].at[s[j]].add(1),
            }
            stopped = {**x, "clock": jnp.full_like(x["clock"], until)}
            return jax.tree.map(lambda a, b: jnp.where(goes, a, b).astype(b.dtype), after, stopped), done + goes

        return jax.lax.while_loop(
            lambda c: (c[0]["clock"][0] < until) & (c[1] < most), jump, (x, jnp.zeros((), jnp.int64))
        )

    return jax.vmap(replica)(replicas, seeds, until)
