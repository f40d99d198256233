#!/usr/bin/env python3
"""What derivatives of the minimum cost, in time and memory, against the minimization itself and against finite differences.

    python benchmarks/cost_of_derivatives.py [insulator metal]

Everything is compiled before it is timed. Per system: one product with the Hessian against one evaluation of the free energy with
its gradient; one forward derivative (of forces and density along a displacement) and one reverse derivative (of a scalar of both
in all inputs: positions, strain, every number of the potential and the functional) at a known minimum, against a minimization
from atomic densities and one from the minimum before; the same gradient by central differences, one direction measured, all
inputs extrapolated; the memory of the compiled linear solve (arguments, results and scratch) against that of the compiled
minimization; and the same of the largest of all programs after the derivatives against the largest one after a minimization.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from chosen import chosen

import dftopt
from dftopt.energy.prepared import prepare
from dftopt.minimization import descent
from dftopt.minimization.lbfgs import LBFGS
from dftopt.properties.implicit import hessian

REPEATS = 3


def insulator():
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.03, -0.02, 0.01]
    return atoms, {"ecut": 8.0, "kpts": (2, 2, 2)}, {}


def metal():
    return bulk("Al", a=4.05), {"ecut": 8.0, "kpts": (4, 4, 2)}, {"temperature": 0.01, "nbands": 8}


SYSTEMS = {"insulator": insulator, "metal": metal}


def seconds(call) -> float:
    """The shortest of a few."""
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begun)
    return min(times)


def mebibytes(jitted, *args, **kwargs) -> float:
    """Of one compiled program."""
    m = jitted.lower(*args, **kwargs).compile().memory_analysis()
    return (m.argument_size_in_bytes + m.output_size_in_bytes + m.temp_size_in_bytes) / 2**20


def largest() -> float:
    """Arguments, results and scratch of the largest program compiled so far, MiB."""
    stats = [program.get_compiled_memory_stats() for program in jax.devices()[0].client.live_executables()]
    return max(m.argument_size_in_bytes + m.output_size_in_bytes + m.temp_size_in_bytes for m in stats) / 2**20


def measured(name: str) -> dict:
    """Seconds and mebibytes of one system."""
    atoms, of_basis, options = SYSTEMS[name]()
    model = dftopt.Model(atoms, xc="PBE")
    basis = dftopt.PlaneWaves(model, symmetry=False, **of_basis)
    f = dftopt.differentiable(model, basis, **options)
    p, ground = f.parameters, f._ground
    minimize = lambda **more: dftopt.minimize(model, basis, tol=1e-12, progress=False, **options, **more)
    first, before = minimize(), largest()
    random = np.random.default_rng(0)
    direction = {
        "positions": jnp.asarray(random.normal(size=p["positions"].shape)),
        "strain": jnp.asarray(0.1 * np.eye(3)),
    }
    outputs = lambda x: {k: found[k] for found in [f({**p, **x})] for k in ("density", "stress")}
    some = {k: p[k] for k in direction}
    weights = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), outputs(some))
    scalar = lambda x: sum(jnp.vdot(weights[k], v) for k, v in outputs(x).items())
    inputs = {k: v for k, v in p.items() if k in ("positions", "strain", "pseudopotentials", "xc")}
    own = {k: v for k, v in p.items() if k != "fractions"}
    x = ground.state(own)
    at = ground.at(own)

    def step(h):  # a minimization from the minimum before, as finite differences need
        return minimize(start=first, inputs={**inputs, "positions": p["positions"] + h * direction["positions"]})

    prepared = prepare(model, basis)
    data, point = (prepared, jnp.asarray(options.get("temperature", 0.0))), first.point
    point = {"psi": jnp.asarray(point["psi"]), "occ": point["occ"]}
    problem, method = first.options.problem, LBFGS()
    evaluate = jax.jit(lambda x, data: problem.evaluate(x, data)[:3])
    push = jax.linearize(lambda i: ground.residual(i, x), own)[1]
    change = jax.tree.map(jnp.zeros_like, own) | {"positions": direction["positions"]}
    b = hessian.right_hand_side(*push(change), at, x, ground.rest, problem=ground.problem)
    b = (*b, None)[:2]
    solve = lambda n: hessian.conjugate_gradients(at, x, b, 0.0, n, ground.rest, problem=ground.problem)
    forward = lambda: jax.jvp(outputs, (some,), (direction,))
    reverse = lambda: jax.grad(scalar)(inputs)
    count = len(f.solves)
    for call in (lambda: step(1e-3).psi, forward, reverse):  # compiled
        call()
    out = {
        "minimization": seconds(lambda: minimize().psi), "from the last": seconds(lambda: step(1e-3 * random.normal()).psi),
        "evaluation": seconds(lambda: evaluate(point, data)),
        "product": (seconds(lambda: solve(21)) - seconds(lambda: solve(1))) / 20,
        "forward": seconds(forward), "reverse": seconds(reverse),
    }  # fmt: skip
    state = descent.start(problem, point, data, method)
    out |= {
        "products": [s.products for s in f.solves[count : count + 2]], "evaluations": first.stats.evaluations,
        "inputs": sum(v.size for v in jax.tree.leaves(inputs)),
        "largest": (before, largest()),
        "memory": mebibytes(descent.run, problem, state, data, 1e-12, method, 20, jnp.asarray(20)),
        "memory of the solve": mebibytes(hessian.conjugate_gradients, at, x, b, 1e-12, 600, ground.rest, problem=ground.problem),
    }  # fmt: skip
    return out


def main() -> int:
    dftopt.enable_compilation_cache()
    fine = True
    for name in chosen(__doc__, SYSTEMS):
        m = measured(name)
        ratios = {
            "product / evaluation": (m["product"] / m["evaluation"], 2),
            "forward / minimization": (m["forward"] / m["minimization"], 5),
            "reverse / minimization": (m["reverse"] / m["minimization"], 5),
            "memory of the solve / minimization": (m["memory of the solve"] / m["memory"], 2),
            "largest program of all / minimization": (m["largest"][1] / m["largest"][0], 2),
        }
        print(
            f"{name}: {m['inputs']} inputs, {m['evaluations']} evaluations to the minimum, {m['products']} products in the solves"
        )
        for key in ("minimization", "from the last", "evaluation", "product", "forward", "reverse"):
            print(f"  {key:20s} {1e3 * m[key]:10.1f} ms")
        for key in ("memory", "memory of the solve"):
            print(f"  {key:20s} {m[key]:10.1f} MiB")
        differences = 2 * m["inputs"] * m["from the last"]
        print(
            f"  all {m['inputs']} derivatives of a scalar: central differences {differences:.1f} s, reverse mode {m['reverse']:.2f} s"
        )
        for key, (ratio, bound) in ratios.items():
            print(f"  {key:36s} {ratio:6.2f}  (at most {bound})")
            fine &= ratio <= bound
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
