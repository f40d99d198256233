"""Lattice kernels compiled by numba: local energies, Monte Carlo and vacancy jumps. Needs the extra "alloy".

Every replica has its own stream of random numbers (splitmix64); kernels release the interpreter lock, and the engine runs
replicas on as many threads as there are cores. Codes and site numbers are unsigned: numba then needs no check for negative
indices. Arguments that all kernels share: onsite (K,); neighbours n2 (n, R2), n3 (n, R3, 2), n4 (n, R4, 3); energies
e2 (sublattices, K, R2, K), e3 (sublattices, K, R3, K, K), e4 with the own species second, and the differences
d2 (sublattices, old, new, R2, K) of pairs.

References:
    Steele, Lea, Flood, OOPSLA 2014 (splitmix64, which passes BigCrush).
"""

from typing import Any

import numpy as np
from numba import njit

U = np.uint64
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(inline="always", **OPTIONS)
def _word(seed):
    """The next 64 random bits; `seed` (1,) uint64 advances."""
    seed[0] += U(0x9E3779B97F4A7C15)
    z = seed[0]
    z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
    return z ^ (z >> U(31))


@njit(inline="always", **OPTIONS)
def _uniform(seed):
    """In (0, 1]."""
    return (np.float64(_word(seed) >> U(11)) + 1.0) * 2.0**-53


@njit(inline="always", **OPTIONS)
def _below(seed, n):
    """Whole number in [0, n)."""
    return ((_word(seed) >> U(32)) * U(n)) >> U(32)


@njit(**OPTIONS)
def _local(s, i, b, a, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Energy of all clusters with site i (sublattice b), if its species is a; its copies in a small cell are s[i]."""
    e = onsite[a]
    near, pairs = n2[i], e2[b, a]
    for m in range(near.shape[0]):
        e += pairs[m, s[near[m]]]
    near3, triplets = n3[i], e3[b, a]
    for m in range(near3.shape[0]):
        e += triplets[m, s[near3[m, 0]], s[near3[m, 1]]]
    near4, quadruplets = n4[i], e4[b, a]
    for m in range(near4.shape[0]):
        e += quadruplets[m, s[near4[m, 0]], s[near4[m, 1]], s[near4[m, 2]]]
    return e


@njit(forceinline=True, **OPTIONS)  # a call with so many arguments takes as long as the work
def _change(s, i, b, new, simple, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Energy change when site i becomes `new`."""
    old = s[i]
    if not simple:
        before = _local(s, i, b, old, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[i] = new
        after = _local(s, i, b, new, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[i] = old
        return after - before
    e, second, third, fourth = onsite[new] - onsite[old], 0.0, 0.0, 0.0
    near, pairs = n2[i], d2[b, old, new]
    fours = near.shape[0] // 4 * 4
    for m in range(0, fours, 4):  # four sums: additions need not wait for each other
        e += pairs[m, s[near[m]]]
        second += pairs[m + 1, s[near[m + 1]]]
        third += pairs[m + 2, s[near[m + 2]]]
        fourth += pairs[m + 3, s[near[m + 3]]]
    e += second + (third + fourth)
    for m in range(fours, near.shape[0]):
        e += pairs[m, s[near[m]]]
    if n3.shape[1]:
        near3, plus, minus = n3[i], e3[b, new], e3[b, old]
        for m in range(near3.shape[0]):
            c, d = s[near3[m, 0]], s[near3[m, 1]]
            e += plus[m, c, d] - minus[m, c, d]
    if n4.shape[1]:
        near4, plus4, minus4 = n4[i], e4[b, new], e4[b, old]
        for m in range(near4.shape[0]):
            c, d, f = s[near4[m, 0]], s[near4[m, 1]], s[near4[m, 2]]
            e += plus4[m, c, d, f] - minus4[m, c, d, f]
    return e


@njit(**OPTIONS)
def totals(codes, out, sublattices, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Energies (configurations,) without the constant; e2, e3, e4 without weights."""
    for c in range(len(codes)):
        s = codes[c]
        total = 0.0
        for i in range(len(s)):
            b, a = i % sublattices, s[i]
            part = 0.0
            near, pairs = n2[i], e2[b, a]
            for m in range(near.shape[0]):
                part += pairs[m, s[near[m]]]
            total += onsite[a] + part / 2
            part = 0.0
            near3, triplets = n3[i], e3[b, a]
            for m in range(near3.shape[0]):
                part += triplets[m, s[near3[m, 0]], s[near3[m, 1]]]
            total += part / 3
            part = 0.0
            near4, quadruplets = n4[i], e4[b, a]
            for m in range(near4.shape[0]):
                part += quadruplets[m, s[near4[m, 0]], s[near4[m, 1]], s[near4[m, 2]]]
            total += part / 4
        out[c] = total


@njit(**OPTIONS)
def swaps(s, seed, energy, kT, attempts, sublattices, simple, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Canonical Metropolis: exchange two unlike sites anywhere; new energy and number accepted. `s` must hold two species."""
    n = len(s)
    accepted = 0
    for _ in range(attempts):
        i = _below(seed, n)
        j = _below(seed, n)
        while s[i] == s[j]:
            i = _below(seed, n)
            j = _below(seed, n)
        a, c = s[i], s[j]
        dE = _change(s, i, i % sublattices, c, simple, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[i] = c
        dE += _change(s, j, j % sublattices, a, simple, onsite, n2, e2, d2, n3, e3, n4, e4)
        if dE <= 0 or _uniform(seed) < np.exp(-dE / kT):
            s[j] = a
            energy += dE
            accepted += 1
        else:
            s[i] = a
    return energy, accepted


@njit(**OPTIONS)
def flips(s, seed, energy, kT, attempts, mu, sublattices, simple, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Semi-grand Metropolis: a site becomes another species; mu (K,) eV. The energy is that without mu."""
    n, K = len(s), len(mu)
    accepted = 0
    for _ in range(attempts):
        i = _below(seed, n)
        old = s[i]
        new = np.uint8((old + 1 + _below(seed, K - 1)) % K)
        dE = _change(s, i, i % sublattices, new, simple, onsite, n2, e2, d2, n3, e3, n4, e4)
        cost = dE - mu[new] + mu[old]
        if cost <= 0 or _uniform(seed) < np.exp(-cost / kT):
            s[i] = new
            energy += dE
            accepted += 1
    return energy, accepted


@njit(forceinline=True, **OPTIONS)
def _jump_rates(s, v, rates, changes, arrival, b, hop, kra, kT, onsite, n2, e2, d2, n3, e3, n4, e4):
    """Rates over the prefactor (z,) and energy changes (z,) of the jumps of the neighbours of vacancy v into it; their sum."""
    empty, total = s[v], 0.0
    known = U(0)  # one bit for each species whose arrival at v was computed: it does not depend on where it comes from
    for h in range(hop.shape[1]):
        j = hop[v, h]
        a = s[j]
        if a == empty:
            rates[h] = 0.0
            changes[h] = 0.0
            continue
        if not (known >> U(a)) & U(1):
            arrival[a] = _change(s, v, b[v], a, True, onsite, n2, e2, d2, n3, e3, n4, e4)
            known |= U(1) << U(a)
        s[v] = a
        dE = arrival[a] + _change(s, j, b[j], empty, True, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[v] = empty
        changes[h] = dE
        rates[h] = np.exp(-max(kra[a] + dE / 2, dE, 0.0) / kT)
        total += rates[h]
    return total


@njit(**OPTIONS)
def jump_rates(s, vacancies, rates, changes, b, hop, kra, kT, onsite, n2, e2, d2, n3, e3, n4, e4):
    """The same for all vacancies: (vacancies, z)."""
    arrival = np.empty(len(onsite))
    for k in range(len(vacancies)):
        _jump_rates(
            s, U(vacancies[k]), rates[k], changes[k], arrival, b, hop, kra, kT, onsite, n2, e2, d2, n3, e3, n4, e4
        )


@njit(**OPTIONS)
def jumps(
    s, seed, clock, energy, vacancies, number, atom, moved, counts, until, most,
    b, hop, vectors, reach, kra, prefactor, kT, onsite, n2, e2, d2, n3, e3, n4, e4,
):  # fmt: skip
    """Residence-time algorithm until the time `until` or `most` jumps; what changes is changed in place.

    s: (n,) codes; seed, clock (s), energy (eV): (1,); vacancies: (V,) sites; number: (n,) which vacancy is on a site, -1 none;
    atom: (n,) which atom is; moved: (n, 3) displacement of each atom; counts: (K,) jumps by species. b: (n,) sublattices; hop:
    (n, z) neighbours; vectors: (sublattices, z, 3) to them; reach: (n, r) sites whose vacancy's rates depend on a site; kra:
    (K,) eV; prefactor: 1/s.

    Returns:
        Number of jumps.
    """
    V, z = len(vacancies), hop.shape[1]
    rates, changes, sums = np.zeros((V, z)), np.zeros((V, z)), np.zeros(V)
    arrival = np.empty(len(onsite))
    for k in range(V):
        sums[k] = -1.0
    done = 0
    while done < most:
        total = 0.0
        for k in range(V):
            if sums[k] < 0:
                sums[k] = _jump_rates(
                    s,
                    U(vacancies[k]),
                    rates[k],
                    changes[k],
                    arrival,
                    b,
                    hop,
                    kra,
                    kT,
                    onsite,
                    n2,
                    e2,
                    d2,
                    n3,
                    e3,
                    n4,
                    e4,
                )
            total += sums[k]
        wait = -np.log(_uniform(seed)) / (total * prefactor)
        if clock[0] + wait > until:
            clock[0] = until  # the exponential has no memory: the rest is drawn anew
            break
        clock[0] += wait
        x = _uniform(seed) * total
        k = 0
        while k < V - 1 and x > sums[k]:
            x -= sums[k]
            k += 1
        h = 0
        while h < z - 1 and x > rates[k, h]:
            x -= rates[k, h]
            h += 1
        while rates[k, h] == 0.0:  # rounding may run past the last possible one
            h = (h + z - 1) % z
        v = U(vacancies[k])
        j = U(hop[v, h])
        a = s[j]
        s[j], s[v] = s[v], a
        energy[0] += changes[k, h]
        counts[a] += 1
        who = atom[j]
        atom[j], atom[v] = atom[v], who
        for d in range(3):
            moved[who, d] -= vectors[b[v], h, d]
        vacancies[k] = j
        number[j], number[v] = k, -1
        done += 1
        sums[k] = -1.0  # not known any more
        if V > 1:
            for site in (v, j):
                for m in range(reach.shape[1]):
                    q = number[reach[site, m]]
                    if q >= 0:
                        sums[q] = -1.0
    return done


@njit(**OPTIONS)
def bond_ends(s, near, out):
    """Add the numbers of bond ends between species of s (n,) along near (n, z) to out (K, K); other codes do not count."""
    K = len(out)
    for i in range(len(s)):
        a = s[i]
        if a < K:
            for m in range(near.shape[1]):
                c = s[near[i, m]]
                if c < K:
                    out[a, c] += 1


@njit(**OPTIONS)
def bond_end_changes(s, t, changed, near, out):
    """The same for the difference between t and s, that differ on the sites `changed` alone."""
    K = len(out)
    for i in changed:
        for m in range(near.shape[1]):
            j = near[i, m]
            ends = 1 if s[j] != t[j] else 2  # a neighbour that changed too counts the other end itself
            for end in range(ends):
                if s[i] < K and s[j] < K:
                    out[s[j] if end else s[i], s[i] if end else s[j]] -= 1
                if t[i] < K and t[j] < K:
                    out[t[j] if end else t[i], t[i] if end else t[j]] += 1


@njit(**OPTIONS)
def crossing_ends(s, near, crosses, out):
    """Add numbers of bond ends of s (n,) along near (n, z), by `crosses` (n, z) 0 or 1, to out (2, K, K)."""
    K = out.shape[1]
    for i in range(len(s)):
        a = s[i]
        if a < K:
            for m in range(near.shape[1]):
                c = s[near[i, m]]
                if c < K:
                    out[crosses[i, m], a, c] += 1


@njit(**OPTIONS)
def _count_ends(s, i, other, sign, near, crosses, shell, change):
    """Add `sign` times the bond ends of site i, but those to `other`, to change (2, shells, K, K)."""
    K, a = change.shape[2], s[i]
    for m in range(near.shape[1]):
        j = near[i, m]
        c = s[j]
        if c < K and j != other:
            change[crosses[i, m], shell[m], a, c] += sign
            change[crosses[i, m], shell[m], c, a] += sign


@njit(**OPTIONS)
def mend(
    s, seed, sites, near, crosses, shell, excess, energy, unit, attempts,
    sublattices, simple, onsite, n2, e2, d2, n3, e3, n4, e4,
):  # fmt: skip
    """Exchange atoms on `sites` of s (n,) where that brings bonds and energy closer to what they should be.

    near: (n, z) neighbours of all shells, crosses: (n, z) 0 or 1, shell: (z,); excess: (2, shells, K, K) by how much the
    numbers of bond ends are too large; energy (1,): the same, in eV, of which `unit` counts as one bond end. Ends where the
    squares fall to their number, or after so many attempts.

    Returns:
        Number of exchanges.
    """
    K, done = excess.shape[2], 0
    change = np.zeros_like(excess)
    left, change_flat = excess.reshape(-1), change.reshape(-1)
    cost = np.sum(left**2) + (energy[0] / unit) ** 2
    for _ in range(attempts):
        if cost <= len(left):
            break
        i, j = U(sites[_below(seed, len(sites))]), U(sites[_below(seed, len(sites))])
        a, c = s[i], s[j]
        if a == c or a >= K or c >= K:
            continue
        change_flat[:] = 0
        _count_ends(s, i, j, -1, near, crosses, shell, change)
        _count_ends(s, j, i, -1, near, crosses, shell, change)
        dE = _change(s, i, i % sublattices, c, simple, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[i] = c
        dE += _change(s, j, j % sublattices, a, simple, onsite, n2, e2, d2, n3, e3, n4, e4)
        s[j] = a
        _count_ends(s, i, j, 1, near, crosses, shell, change)
        _count_ends(s, j, i, 1, near, crosses, shell, change)
        gain = dE * (2 * energy[0] + dE) / unit**2
        for k in range(len(left)):
            gain += change_flat[k] * (2 * left[k] + change_flat[k])
        if gain < 0:
            left += change_flat
            energy[0] += dE
            cost += gain
            done += 1
        else:
            s[i], s[j] = a, c
    return done
