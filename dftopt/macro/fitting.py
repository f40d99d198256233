"""Learning a macroscopic equation from increments: `macro.fit`."""

import warnings

import numpy as np

from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import checks
from dftopt.macro.closure import learn
from dftopt.macro.data import Increments
from dftopt.macro.fitted import Fit
from dftopt.macro.likelihood import batch
from dftopt.macro.onsager import FORMS, Model
from dftopt.macro.scales import Scales, scales_of
from dftopt.macro.statistics import Statistics, statistics
from dftopt.macro.training import Training, train

STEPS = (2500, 6000)  # of the optimizer, where epochs are not given: for one coordinate, for more


def fit(
    data: Increments,
    closure: int = 0,
    form: str = "onsager",
    seed: int = 0,
    *,
    temperature: float = 1.0,
    members: int = 5,
    epochs: int | None = None,
    width: int = 32,
    batch_size: int = 256,
    rate: float = 1e-2,
    patience: int | None = None,
    held_out: float = 0.2,
    progress=None,
    checkpoint=None,
    stop=None,
) -> Fit:
    r"""Learn drift and diffusion of the whole system by maximum likelihood.

    Args:
        data: from `macro.sample`, `macro.from_trajectories` or `macro.join`.
        closure: number of learned coordinates next to the observables (`dftopt.macro.closure`); the data then needs
            microscopic states: `macro.sample(..., snapshots=True)`.
        form: "onsager" (V, M, W and sigma each a network), "fdr" (fluctuation-dissipation: sigma sigma^T = 2 T M, so that
            exp(-V/T) is the stationary density; see `dftopt.macro.onsager` for what each form can tell), or a baseline:
            "network" (drift and sigma without structure; often better than "onsager" for a system that dies out, where V
            has to fall along the whole course), "linear" (Ornstein-Uhlenbeck).
        seed: whole number: of starts, resampling and the held-out part.
        temperature: T of the fluctuation-dissipation form, the unit of V.
        members: of the ensemble. Each is trained on resampled trajectories; their mean is reported, their spread is the
            uncertainty.
        epochs: at most; default: as many as make 2500 steps, 6000 for several coordinates.
        width: of two hidden layers.
        batch_size: snapshots per step.
        rate: learning rate.
        patience: epochs without gain in the held-out likelihood, after which training ends; default a quarter of all.
        held_out: fraction of the trajectories.
        progress: `progress(epoch, epochs, held_out_loss)`.
        checkpoint: path of a file, from which the same call goes on after an interruption.
        stop: `stop() -> bool`: asked every 10 epochs; True ends with status "interrupted" and the checkpoint written.

    Returns:
        The fit.

    Raises:
        InputError: an unknown form, settings out of range, too few snapshots (says how many are needed), a singular
            diffusion, the form "fdr" for a system that dies out.

    Warns:
        DFTOptWarning: training diverged (the last good state is kept), or had not converged.
    """
    if not isinstance(data, Increments):
        raise InputError(
            f"macro.fit needs Increments, not {type(data).__name__}: macro.sample makes them from a simulator, "
            "macro.from_trajectories from recorded trajectories."
        )
    checks.choice("form", form, FORMS)
    checks.whole("closure", closure, low=0)
    checks.whole("members", members)
    checks.whole("width", width)
    checks.whole("batch_size", batch_size)
    checks.number("temperature", temperature, above=0)
    checks.number("rate", rate, above=0, high=1)
    checks.number("held_out", held_out, above=0, high=0.5)
    if form == "fdr" and data.absorbing:
        raise InputError(
            f'form = "fdr" needs a stationary density; this system dies out ({data.names[data.absorbing[0]]} = 0 is the end). '
            'form = "onsager" has none.'
        )
    encoder, data = learn(data, closure, seed)
    s = statistics(data)
    steps = max(1, int((1 - held_out) * len(s)) // batch_size)
    epochs = (
        min(max(20, STEPS[s.z.shape[1] > 1] // steps), 1000)
        if epochs is None
        else checks.whole("epochs", epochs, low=10)
    )
    patience = max(10, epochs // 4) if patience is None else checks.whole("patience", patience)
    how = Training(members, epochs, batch_size, rate, patience, held_out, checks.whole("seed", seed, low=0))
    scales = scales_of(s)
    model = Model(s.z.shape[1], s.q.shape[1], form, width, s.absorbing)
    noise = noise_of(s, scales)
    train_rows, held_rows, counts = split(s, how)
    rows, C0 = batch(s.of(train_rows), scales)
    held, _ = batch(s.of(held_rows), scales)
    lags = tuple(s.h[index] / scales.time for index in (train_rows, held_rows)) if s.h.any() else None
    trained = train(
        model, noise, rows, held, C0, s.full, counts, how,
        lags=lags, progress=progress, checkpoint=checkpoint, stop=stop,
    )  # fmt: skip
    if trained.status in ("diverged", "epochs used up"):
        warnings.warn(_advice(trained.status, rate, len(trained.history)), DFTOptWarning, stacklevel=2)
    return Fit(
        model=model,
        scales=scales,
        params=trained.params,
        temperature=float(temperature),
        states=s.z,
        parameters=s.q,
        names=tuple(data.names) or tuple(f"z{i}" for i in range(data.dimension)),
        parameter_names=s.parameter_names,
        time_unit=data.time_unit,
        n=data.n,
        status=trained.status,
        held_out=trained.best,
        history=trained.history,
        seconds=trained.seconds,
        closure=encoder,
    )


def noise_of(s: Statistics, scales: Scales) -> np.ndarray:
    """Root of the mean diffusion of each coordinate (d,), scaled."""
    spread = s.D
    if s.full:  # the scatter of single increments around the mean of their snapshot is not known: take the increments
        spread = np.einsum("si,sj->sij", s.b, s.b) / s.a[:, None, None]
    if s.absorbing:
        spread = spread / scales.y(s.z)[:, s.absorbing[0], None, None]
    return np.sqrt(np.diagonal(spread.mean(0)) * scales.time) / scales.spread


def split(s: Statistics, how: Training) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training snapshots, held-out snapshots (whole trajectories on either side), and (E, S) counts of a bootstrap."""
    rng = np.random.default_rng([how.seed, 5])
    groups = np.unique(s.group)
    held = rng.permutation(groups)[: min(max(1, round(how.held_out * len(groups))), len(groups) - 1)]
    out = np.isin(s.group, held)
    kept = np.setdiff1d(groups, held)
    times = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), how.members)
    if how.members == 1:
        times = np.ones_like(times)
    counts = times[:, np.searchsorted(kept, s.group[~out])]
    return np.flatnonzero(~out), np.flatnonzero(out), counts.astype(float)


def _advice(status: str, rate: float, epochs: int) -> str:
    if status == "diverged":
        return (
            f"Training diverged after {epochs} epochs; the last good state of every member is kept. A smaller rate than "
            f"{rate:g} helps, or look for outliers in the data."
        )
    return (
        f"Training used up its {epochs} epochs while the held-out likelihood still grew. Raise epochs; with checkpoint= the "
        "state is kept."
    )
