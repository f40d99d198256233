import pytest
from ase.build import bulk

import dftopt
from dftopt.cli.main import main


def silicon():
    return bulk("Si", a=5.43)


@pytest.fixture
def model():
    """A model of silicon, or of other atoms, with more keywords."""
    return lambda atoms=None, **keywords: dftopt.Model(
        atoms if atoms is not None else silicon(), **{"xc": "LDA", **keywords}
    )


@pytest.fixture
def basis(model):
    """A small basis of silicon, or of other atoms, with more keywords."""

    def basis(atoms=None, of=None, **keywords):
        return dftopt.PlaneWaves(model(atoms, **(of or {})), **{"ecut": 4.0, "kpts": (1, 1, 1), **keywords})

    return basis


@pytest.fixture
def minimize(basis):
    """Minimize silicon, or other atoms, with more options."""

    def minimize(atoms=None, of=None, waves=None, **options):
        chosen = basis(atoms, of, **(waves or {}))
        return dftopt.minimize(chosen.model, chosen, **{"progress": False, **options})

    return minimize


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder on a file; returns the status and what was printed, on one line."""
    monkeypatch.chdir(tmp_path)

    def run(keys: str = "", structure: str = '[structure]\nbulk = "Si"\na = 5.43', *flags, name="input.toml"):
        (tmp_path / name).write_text(f"{keys}\n{structure}\n")
        status = main(["run", name, *flags])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, " ".join((captured.out + captured.err).split())

    return run
