import pytest
from ase.units import Bohr, GPa, Hartree, Rydberg, kB

from dftopt.cli.quantities import duration, energy, force, length, pressure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30Ry", 30 * Rydberg),
        ("15 Ha", 15 * Hartree),
        ("400", 400),
        ("400 eV", 400),
        ("1e-3eV", 1e-3),
        (".5mev", 5e-4),
        ("300 K", 300 * kB),
    ],
)
def test_energies(text, value):
    assert energy(text) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("text", ["", "Ry", "30 kg", "3 0", "1,5 eV", "0x10"])
def test_what_is_no_energy(text):
    with pytest.raises(ValueError, match="such as 30Ry"):
        energy(text)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (length, "0.02 bohr", 0.02 * Bohr), (length, "0.01", 0.01), (length, "0.01Å", 0.01), (force, "0.05", 0.05),
        (force, "10 meV/A", 0.01), (force, "1e-3Ha/bohr", 1e-3 * Hartree / Bohr), (pressure, "5 kbar", 0.5),
        (pressure, "1 eV/A^3", 1 / GPa), (duration, "90", 90), (duration, "30m", 1800), (duration, "1h30m", 5400),
        (duration, "0.5h", 1800), (duration, "1-12:00:00", 129600), (duration, "2:30:00", 9000), (duration, "45min", 2700),
    ],
)  # fmt: skip
def test_other_quantities(read, text, value):
    assert read(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "5 weeks", "1h -3m", "nan"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="30m"):
        duration(text)
