"""Short-range order by vacancy kinetics and by Monte Carlo at five temperatures, and sum rules on the configurations.

    python benchmarks/alloy/kinetics.py [--samples N]

Nb, Mo and Ta in equal parts with one vacancy on 128 sites, the expansion of the example data (pairs to the fifth shell need a
larger cell: here to the third, with triplets). The three independent first-shell parameters of both must agree: joint
chi-square p > 0.01, none beyond 4 sigma.
"""

import argparse
import warnings

import numpy as np
from nbmota import expansion
from scipy import stats

from dftopt import enable_compilation_cache
from dftopt.alloy import monte_carlo, vacancy_kmc
from dftopt.alloy.order_parameters import bond_counts, warren_cowley
from dftopt.errors import DFTOptWarning

TEMPERATURES = (1000.0, 1300.0, 1700.0, 2200.0, 3000.0)
BARRIERS = {"Nb": 0.6, "Mo": 0.75, "Ta": 0.65}
THIRD = {"Nb": 1 / 3, "Mo": 1 / 3, "Ta": 1 / 3}
REPLICAS = 16


def independent(got):
    """(replicas, 3) means of the first-shell parameters Nb-Mo, Nb-Ta, Mo-Ta."""
    values = got.sro[:, 0, [0, 0, 1], [1, 2, 2]]
    return np.stack([values[got.replica == r].mean(0) for r in range(REPLICAS)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    enable_compilation_cache()
    warnings.simplefilter("ignore", DFTOptWarning)
    ce = expansion(4.7, 4.7)
    total, dof, largest, rules = 0.0, 0, 0.0, 0.0
    print("T (K)   alpha Nb-Mo, Nb-Ta, Mo-Ta: kinetics, Monte Carlo, difference in sigma")
    for i, T in enumerate(TEMPERATURES):
        kinetics = vacancy_kmc(
            ce, (4, 4, 4), THIRD, T, BARRIERS, seed=i, replicas=REPLICAS, samples=options.samples, jumps=256,
            equilibration=25600,
        )  # fmt: skip
        exact = monte_carlo(
            ce, (4, 4, 4), THIRD, T, seed=i, vacancies=1, replicas=REPLICAS, samples=options.samples, sweeps=5
        )
        a, b = independent(kinetics), independent(exact)
        away = a.mean(0) - b.mean(0)
        spread = (np.cov(a.T) + np.cov(b.T)) / REPLICAS
        # covariances measured from the replicas: Hotelling's statistic, brought to a chi-square of the same probability
        d, free = len(away), 2 * REPLICAS - 2
        t2 = away @ np.linalg.solve(spread, away)
        p = stats.f.sf(t2 * (free - d + 1) / (free * d), d, free - d + 1)
        total += stats.chi2.isf(p, d)
        dof += d
        sigma = away / np.sqrt(np.diag(spread))
        largest = max(largest, abs(sigma).max())
        counts = bond_counts(kinetics.supercell, kinetics.species, 3, 3)
        alpha, c = warren_cowley(counts), counts.sum(-1) / counts.sum((-1, -2))[..., None]
        rules = max(
            rules, abs(np.einsum("...j,...ij->...i", c, alpha)).max(), abs(alpha - np.swapaxes(alpha, -1, -2)).max()
        )
        numbers = "   ".join(f"{x:8.4f} {y:8.4f} {s:5.1f}" for x, y, s in zip(a.mean(0), b.mean(0), sigma, strict=True))
        print(f"{T:5.0f}   {numbers}   ({kinetics.jumps.sum()} jumps)")
    p = stats.chi2.sf(total, dof)
    print(
        f"joint chi-square {total:.1f} of {dof}, p = {p:.3f} (wanted: > 0.01); largest {largest:.1f} sigma (wanted: < 4)"
    )
    print(f"sum rules and symmetry hold to {rules:.1e} (wanted: 1e-12)")
    return 0 if p > 0.01 and largest < 4 and rules < 1e-12 else 1


if __name__ == "__main__":
    raise SystemExit(main())
