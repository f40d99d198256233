"""A fit on disk: one .npz of arrays with a JSON header; nothing in it is executed when it is read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro.fitted import Fit
from dftopt.macro.onsager import Model, initial
from dftopt.macro.scales import Scales

VERSION = 1
PLAIN = ("temperature", "names", "parameter_names", "time_unit", "n", "status", "seconds")
ARRAYS = ("states", "parameters", "held_out", "history")


def save(fit: Fit, path) -> None:
    """Write a fit; the name is used as it is.

    Args:
        fit: from `macro.fit`.
        path: of the file.
    """
    header = {"version": VERSION, "model": asdict(fit.model), **{name: getattr(fit, name) for name in PLAIN}}
    arrays = {name: getattr(fit, name) for name in ARRAYS}
    arrays |= {f"scales.{name}": value for name, value in asdict(fit.scales).items()}
    arrays |= {f"params.{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(fit.params))}
    if fit.closure is not None:
        from dftopt.macro.closure import to_arrays

        more, header["closure"] = to_arrays(fit.closure)
        arrays |= {f"closure.{name}": value for name, value in more.items()}
    part = Path(f"{path}.part")
    with part.open("wb") as file:
        np.savez(file, header=json.dumps(header), **arrays)
    part.replace(path)


def load(path) -> Fit:
    """Read a fit.

    Args:
        path: as given to `fit.save`.

    Returns:
        The fit, equal to the one that was saved.

    Raises:
        InputError: no such file, or one that is no fit.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no file {str(path)!r}: macro.load reads what fit.save wrote.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
        version = header["version"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{str(path)!r} is not a fit that fit.save wrote ({error}).") from None
    if version != VERSION:
        raise InputError(f"{str(path)!r} is of version {version} of the format; this dftopt reads version {VERSION}.")
    model = Model(**{**header["model"], "absorbing": tuple(header["model"].get("absorbing", ()))})
    made = initial(jax.random.key(0), model, jnp.ones(model.d), 1.0)
    if model.form == "network":
        made["units"]["cubic"] = jnp.zeros(())  # found before training
    leaves, tree = jax.tree.flatten(made)
    params = jax.tree.unflatten(tree, [jnp.asarray(arrays[f"params.{i}"]) for i in range(len(leaves))])
    part = lambda name: {k.removeprefix(name): v for k, v in arrays.items() if k.startswith(name)}
    scales = part("scales.")
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v := header[name], list) else v for name in PLAIN}
    own: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
    closure = None
    if "closure" in header:
        from dftopt.macro.closure import from_arrays

        closure = from_arrays(part("closure."), header["closure"])
    return Fit(
        model=model,
        scales=Scales(**{**scales, "time": float(scales["time"])}),
        params=params,
        closure=closure,
        **plain,
        **own,
    )
