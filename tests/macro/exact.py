"""Exact answers for small systems, in plain NumPy and SciPy."""

import numpy as np
from scipy import sparse, stats


def agree(samples, values, probabilities, level=1e-4):
    """Chi-square test of samples against exact probabilities of discrete values; rare values are put together."""
    order = np.argsort(values)
    values, probabilities = np.asarray(values)[order], np.asarray(probabilities)[order]
    index = np.clip(np.searchsorted(values, samples + 1e-9) - 1, 0, None)
    counts = np.bincount(index, minlength=len(values))
    common = probabilities * len(samples) >= 10
    expected = np.append(probabilities[common], probabilities[~common].sum()) * len(samples)
    observed = np.append(counts[common], counts[~common].sum())
    if expected[-1] < 1e-6 and observed[-1]:
        return False
    if expected[-1] < 5:
        expected, observed = expected[:-1], observed[:-1]
    if len(expected) == 1:
        return True
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > level


class TorusIsing:
    """All states of an L x L torus: spins, energies, and generators of the Glauber dynamics."""

    def __init__(self, L, temperature, field=0.0):
        n = L * L
        states = np.arange(1 << n)
        self.spins = (1 - 2 * ((states[:, None] >> np.arange(n)) & 1)).astype(np.int8).reshape(-1, L, L)
        s = self.spins.astype(float)
        self.m = s.mean((1, 2))
        self.energy = -(s * (np.roll(s, 1, 1) + np.roll(s, 1, 2))).sum((1, 2)) - field * s.sum((1, 2))
        around = sum(np.roll(s, k, a) for k in (1, -1) for a in (1, 2)) + field
        self.rates = ((1 - s * np.tanh(around / temperature)) / 2).reshape(-1, n)
        weight = np.exp(-(self.energy - self.energy.min()) / temperature)
        self.gibbs = weight / weight.sum()
        self.n, self.states = n, states

    def generator(self, sites):
        """d p / d t = G p of the flips of some sites, sparse."""
        total = len(self.states)
        rows, columns, values = [], [], []
        for i in sites:
            rate = self.rates[:, i]
            rows += [self.states ^ (1 << i), self.states]
            columns += [self.states, self.states]
            values += [rate, -rate]
        shape = (total, total)
        return sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)

    def index(self, spins):
        """Number of each state of spins (N, L, L)."""
        return ((1 - np.asarray(spins).reshape(len(spins), -1).astype(int)) // 2) @ (1 << np.arange(self.n))


def torus_free_energy(L, temperature):
    """Free energy and energy per site of the L x L torus by the transfer matrix."""

    def log_z(beta):
        row = 1 - 2 * ((np.arange(1 << L)[:, None] >> np.arange(L)) & 1)
        inside = (row * np.roll(row, 1, 1)).sum(1)
        log_t = beta * (row @ row.T + (inside[:, None] + inside[None]) / 2)
        top = log_t.max()
        values = np.linalg.eigvalsh(np.exp(log_t - top))
        return L * top + np.log((values**L).sum())

    beta, step = 1 / temperature, 1e-5
    energy = -(log_z(beta + step) - log_z(beta - step)) / (2 * step)
    return -temperature * log_z(beta) / L**2, energy / L**2


def onsager(temperature):
    """Energy per site and spontaneous magnetization of the infinite lattice (Onsager 1944, Yang 1952)."""
    from scipy.special import ellipk

    K = 1 / temperature
    k = 2 * np.sinh(2 * K) / np.cosh(2 * K) ** 2
    energy = -(1 + 2 / np.pi * (2 * np.tanh(2 * K) ** 2 - 1) * ellipk(k**2)) / np.tanh(2 * K)
    s = np.sinh(2 * K)
    return energy, (1 - s**-4) ** 0.125 if s > 1 else 0.0
