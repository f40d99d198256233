"""Training of an ensemble: minibatches of the likelihood, a held-out part, the best state of each member kept.

Every member has its own start and its own resampled trajectories (a bootstrap), so that their spread holds both what the
data leaves open and what the optimizer does. All members run in one program; the loop over epochs is compiled in chunks,
and between chunks there are progress, checkpoints and the check whether to stop. What is judged, and kept, is a running
average of the parameters: minibatches scatter them, by more than the data leaves open. Training runs in single precision, in
units where everything is of order 1: its rounding is 1e-7 where data tells 1e-3.
"""

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.macro import moments, soap
from dftopt.macro.likelihood import Batch, cubic, loss
from dftopt.macro.onsager import Model, initial, raw

GAIN = 1e-3  # of the held-out log-likelihood per snapshot: less is none
SMALLEST = 1e-4  # variance of what is seen, relative to the largest, that is still brought to 1
CHUNK = 10  # epochs between two looks from outside
AVERAGED = 300  # steps at most, a tenth of those done: over so many the parameters are averaged
FIRST = 0.1  # of the epochs: M rests, else it may vanish where V is still wrong, and V is never mended there
CORRECTED = 0.7  # of the epochs: until then data of long steps is corrected anew between two looks


@dataclass(frozen=True)
class Training:
    """How a fit is trained.

    Args:
        members: of the ensemble.
        epochs: at most.
        batch: snapshots per step.
        rate: learning rate at the start, falling to 1 % of it as a cosine.
        patience: epochs without improvement of the held-out loss of any member, after which training stops.
        held_out: fraction of the trajectories.
        seed: of starts, resampling, order and held-out part.
    """

    members: int = 5
    epochs: int = 100
    batch: int = 256
    rate: float = 1e-2
    patience: int = 25
    held_out: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """Outcome of `train`.

    Args:
        params: of all members, leading axis E: the best state of each.
        best: (E,) held-out loss per snapshot of these.
        history: (epochs, 2, E) training and held-out loss.
        status: "converged", "epochs used up", "diverged" (the best state before that is kept) or "interrupted".
        seconds: of wall time.
    """

    params: Any
    best: np.ndarray
    history: np.ndarray
    status: str
    seconds: float


def train(
    model: Model,
    noise: np.ndarray,
    rows: Batch,
    held: Batch,
    C0,
    full: bool,
    counts,
    how: Training,
    *,
    lags=None,
    progress=None,
    checkpoint=None,
    stop=None,
) -> Trained:
    """Maximize the likelihood.

    Args:
        model: what is trained.
        noise: (d,) scale of sigma per coordinate; half the mean of its squares is T.
        rows: training snapshots (S, ...).
        held: held-out snapshots.
        C0: see `dftopt.macro.statistics`.
        full: as there.
        counts: (E, S) how often a member sees a snapshot.
        how: settings.
        lags: time steps of training and held-out snapshots, scaled, where they may be long (`dftopt.macro.moments`).
        progress: `progress(epoch, epochs, held_out_loss)` after each chunk.
        checkpoint: a path; training goes on from it where it belongs to the same data and settings.
        stop: `stop() -> bool`, asked after each chunk.

    Returns:
        Trained.
    """
    begun = time.perf_counter()
    size = min(how.batch, len(rows.y))
    rows, held, C0, counts = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (rows, held, C0, counts))
    keys = jax.random.split(jax.random.key(how.seed), how.members)
    inputs = _uncorrelated(model, rows)
    made = jax.vmap(initial, (0, None, None, None, None))(keys, model, noise, np.mean(noise**2) / 2, inputs)
    if model.form == "network":
        made["units"]["cubic"] = jnp.asarray(cubic(model, inputs, rows, C0, counts))
    params = jax.tree.map(lambda x: x.astype(jnp.float32), made)
    schedule = jnp.asarray([how.rate, how.epochs], jnp.float32), jnp.asarray(how.seed + 1)
    state = (
        params,
        soap.start(params),
        params,
        params,
        jnp.full((2, how.members), jnp.inf, jnp.float32),
        jnp.zeros((), int),
    )
    history: list[np.ndarray] = []
    mark = _mark(model, rows, how)
    measured = (rows, held)
    rows, held = (_each_its_own(x, how.members if lags else 0) for x in measured)
    until = CORRECTED * how.epochs if lags else 0
    if checkpoint is not None and Path(checkpoint).exists():
        (state, rows, held), history = _read(checkpoint, mark, (state, rows, held), history)
    status, last = "epochs used up", time.perf_counter()
    while len(history) < how.epochs:
        if 0 < len(history) < until:
            steps = max(moments.steps_for(state[2], model, x, h) for x, h in zip(measured, lags, strict=True))
            if steps == 0:
                until = 0
            else:
                rows, held = (
                    x._replace(**dict(zip("bD", moments.corrected(state[2], model, x, h, steps), strict=True)))
                    for x, h in zip(measured, lags, strict=True)
                )
                state = (*state[:4], jnp.full_like(state[4], jnp.inf), state[5])  # judged by other data from here on
        new, losses = _chunk(model, size, full, state, schedule, rows, held, C0, counts)
        losses = np.asarray(losses)
        if not np.isfinite(losses).all():
            status, state = "diverged", (*state[:3], *new[3:])  # members keep their best state
            history += list(losses)
            break
        state = new
        history += list(losses)
        best = np.array(history)[:, 2]
        if progress is not None:
            progress(len(history), how.epochs, float(np.array(history)[-1, 1].mean()))
        settled = min(int(until), len(best) - 1)
        since = len(history) - 1 - settled - np.max(_last_gain(best[settled:]))
        if since >= how.patience:
            status = "converged"
            break
        if stop is not None and stop():
            status = "interrupted"
        if checkpoint is not None and (status == "interrupted" or time.perf_counter() - last > 10):
            _write(checkpoint, mark, (state, rows, held), history)
            last = time.perf_counter()
        if status == "interrupted":
            break
    if status == "epochs used up" and how.epochs >= how.patience:  # the rate has come to its end
        past = np.array(history)[:, 2]
        gained = past[-1 - how.patience // 2] - past[-1]
        if (gained < 1e-3 * (1 + abs(past[-1]))).all():
            status = "converged"
    if checkpoint is not None and status != "interrupted":
        Path(checkpoint).unlink(missing_ok=True)
    params = jax.tree.map(lambda x: jnp.asarray(x, float), state[3])
    return Trained(params, np.asarray(state[4]).sum(0), np.array(history)[:, :2], status, time.perf_counter() - begun)


def _each_its_own(rows: Batch, members: int) -> Batch:
    """Rows whose drift and scatter have a leading axis of members."""
    lead = lambda x: jnp.broadcast_to(x, (members, *x.shape)) if members else x
    return rows._replace(b=lead(rows.b), D=lead(rows.D))


def _makes_M(model: Model, params, path, leaf):
    """Which numbers of a parameter (members, output, ...) make M in the plain form: the first outputs of its network.

    W, the others, has to train with V from the start: without it V would have to explain what turns around.
    """
    if model.form != "onsager" or path[0].key != "MW" or path[1].idx + 1 < len(params["MW"]):
        return False
    of_M = jnp.arange(leaf.shape[1]) < model.d * (model.d + 1) // 2
    return of_M.reshape(1, -1, *[1] * (leaf.ndim - 2))


def _uncorrelated(model: Model, rows: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Centre, and the symmetric matrix after which what the networks see has mean 0 and covariance 1 over the rows.

    A difference of two coordinates that go together then counts as much as their sum.
    """
    x = np.asarray(jax.vmap(raw, (None, 0, 0))(model, rows.y, rows.q), float)
    values, vectors = np.linalg.eigh(np.cov(x.T).reshape(x.shape[1], -1))
    return x.mean(0), vectors / np.sqrt(np.maximum(values, SMALLEST * values.max())) @ vectors.T


@partial(jax.jit, static_argnums=(0, 1, 2))
def _chunk(model, size, full, state, schedule, rows, held, C0, counts):
    steps = len(rows.y) // size
    (rate, epochs), seed = schedule
    each = jax.vmap(loss, (None, None, 0, None, None))

    def mean_loss(params, part, weight):
        """The parts of drift and noise (2,)."""
        parts = jnp.stack(each(params, model, part, C0, full))
        return parts @ weight / jnp.maximum(jnp.sum(weight), 1.0)

    shared: Any = None
    each_own: Any = 0 if rows.b.ndim == 3 else None  # data of long steps is corrected for every member
    axes = Batch(shared, shared, each_own, shared, each_own, shared)
    of_members = jax.vmap(mean_loss, (0, axes, 0))

    def objective(params, part, weights):
        values = of_members(params, part, weights).sum(1)
        return jnp.sum(values), values

    def some(index):
        return Batch(*(x[index] if axis is None else x[:, index] for x, axis in zip(rows, axes, strict=True)))

    # Networks that share nothing are judged apart: noise is known long before the drift, and would end its training.
    apart = model.form != "fdr" and not full

    def step(carry, index):
        params, opt, mean, done = carry
        fall = 0.505 + 0.495 * jnp.cos(jnp.pi * jnp.minimum(done / (epochs * steps), 1))
        gradient, values = jax.grad(objective, has_aux=True)(params, some(index), counts[:, index])
        updates, opt = soap.step(gradient, opt)
        late = (done >= FIRST * epochs * steps).astype(jnp.float32)
        free = lambda path, p: jnp.where(_makes_M(model, params, path, p), late, 1.0)
        params = jax.tree_util.tree_map_with_path(
            lambda path, p, u: p - rate * fall * free(path, p) * u, params, updates
        )
        share = 1 / jnp.clip(done.astype(jnp.float32) / 10, 1, AVERAGED)
        mean = jax.tree.map(lambda m, p: m + share * (p - m), mean, params)
        return (params, opt, mean, done + 1), values

    def epoch(state, _):
        params, opt, mean, best, best_loss, count = state
        key = jax.random.fold_in(jax.random.key(seed), count)
        order = jax.random.permutation(key, len(rows.y))[: steps * size].reshape(steps, size)
        (params, opt, mean, _), values = jax.lax.scan(step, (params, opt, mean, count * steps), order)
        opt = soap.turned(opt)
        parts = of_members(mean, held, jnp.ones((len(counts), len(held.y)), jnp.float32)).T
        now = parts.sum(0)
        parts = parts if apart else jnp.stack([now, jnp.zeros_like(now)])
        better = parts < best_loss  # False for NaN

        def pick(path, new, old):
            mine = better[int(apart and path[0].key == "sigma")]
            return jnp.where(mine.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        best = jax.tree_util.tree_map_with_path(pick, mean, best)
        best_loss = jnp.where(better, parts, best_loss)
        return (params, opt, mean, best, best_loss, count + 1), jnp.stack([values.mean(0), now, best_loss.sum(0)])

    return jax.lax.scan(epoch, state, None, length=CHUNK)


def _last_gain(values):
    """(E,) the last epoch in which the best held-out loss of a member fell noticeably."""
    out = np.zeros(values.shape[1], int)
    best = values[0].copy()
    for i, row in enumerate(values):
        gain = row < best - np.minimum(GAIN, 0.1 * GAIN * (1 + abs(best)))
        out[gain] = i
        best = np.where(gain, row, best)
    return out


def _mark(model, rows, how) -> str:
    """Tells whether a checkpoint belongs to this training."""
    parts = [repr(model).encode(), repr(how).encode(), *(np.asarray(x).tobytes() for x in rows)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _write(path, mark, state, history):
    leaves: dict[str, Any] = {f"leaf{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))}
    part = Path(f"{path}.part")
    with part.open("wb") as file:
        np.savez(file, mark=mark, history=np.array(history), **leaves)
    part.replace(path)


def _read(path, mark, state, history):
    """State and history of a checkpoint; those given if it belongs to something else or cannot be read."""
    leaves, tree = jax.tree.flatten(state)
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["mark"]) != mark:
                return state, history
            return jax.tree.unflatten(tree, [jnp.asarray(file[f"leaf{i}"]) for i in range(len(leaves))]), list(
                file["history"]
            )
    except (OSError, ValueError, KeyError):
        return state, history
