import pytest
from ase.units import Hartree, Rydberg

from dftopt.cli.quantities import energy


@pytest.mark.parametrize(
    ("text", "value"),
    [("30Ry", 30 * Rydberg), ("15 Ha", 15 * Hartree), ("400", 400), ("400 eV", 400), ("1e-3eV", 1e-3), (".5mev", 5e-4)],
)
def test_energies(text, value):
    assert energy(text) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("text", ["", "Ry", "30 kg", "3 0", "1,5 eV", "0x10"])
def test_what_is_no_energy(text):
    with pytest.raises(ValueError, match="such as 30Ry"):
        energy(text)
