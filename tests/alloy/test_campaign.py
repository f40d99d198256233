import importlib.util
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.db import connect

from dftopt.alloy import campaign
from dftopt.errors import InputError

PARENT = bulk("Cu", a=3.85)


def energy(atoms):
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def run(path, compute=energy, **keywords):
    settings = {"atoms": 4, "calculations": 30, "wanted": 0.02, "batch": 4, **keywords}
    return campaign.run(PARENT, ("Cu", "Au"), (4.0,), compute, str(path), **settings)


def test_the_loop_ends_when_predictions_are_certain(tmp_path):
    got = run(tmp_path / "cu_au.db")
    assert got.certain and got.uncertainty <= 0.02 and got.expansion.cv_rmse < 0.02
    assert 4 <= len(got.rows) < 29 and got.left == 29 - len(got.rows)  # of 29 orderings
    assert all(r["status"] == "done" for r in got.rows)
    seen = bulk("Cu", a=3.85, cubic=True)
    seen.symbols = ["Au", "Cu", "Cu", "Cu"]
    assert got.expansion.predict(seen) == pytest.approx(energy(seen.copy()), abs=4 * 0.02)


def test_nothing_is_computed_twice(tmp_path):
    path, calls = tmp_path / "a.db", []

    def counted(atoms):
        calls.append(atoms)
        if len(calls) == 6:
            raise KeyboardInterrupt  # not caught: as if the process ended
        return energy(atoms)

    with pytest.raises(KeyboardInterrupt):
        run(path, counted, wanted=1e-6, calculations=12)
    assert len(connect(path)) == 6  # five results and one reservation
    got = run(path, counted, wanted=1e-6, calculations=5)
    assert len(calls) == 6 + 5 and len(got.rows) == 10
    assert len({r["ordering"] for r in got.rows}) == 10
    whole = run(tmp_path / "b.db", wanted=1e-6, calculations=10)
    assert {r["ordering"] for r in whole.rows} >= {r["ordering"] for r in got.rows[:4]}


def test_failures_are_told_and_do_not_end_it(tmp_path):
    def fails(atoms):
        if len(atoms) == 3:
            raise RuntimeError("no convergence")
        return float("nan") if len(atoms) == 2 else energy(atoms)

    got = run(tmp_path / "f.db", fails, wanted=1e-6, calculations=29)
    by_status = {s: [r for r in got.rows if r["status"] == s] for s in ("done", "failed")}
    assert len(by_status["failed"]) == 8 and not got.certain  # 6 of three atoms, 2 of two
    assert {r["reason"] for r in by_status["failed"]} == {
        "RuntimeError: no convergence",
        "ValueError: the energy is nan",
    }
    again = run(tmp_path / "f.db", wanted=1e-6, calculations=29, retry=True)
    assert {r["status"] for r in again.rows} == {"done"} and len(again.rows) == 29


@pytest.mark.parametrize(
    ("keywords", "words"), [({"atoms": 0}, "atoms = 0"), ({"wanted": -1.0}, "wanted"), ({"batch": 0}, "batch = 0")]
)
def test_bad_input(tmp_path, keywords, words):
    with pytest.raises(InputError, match=words):
        run(tmp_path / "x.db", **keywords)


def test_another_database(tmp_path):
    connect(tmp_path / "y.db").write(bulk("Cu"))
    with pytest.raises(InputError, match="not of a campaign"):
        run(tmp_path / "y.db")


def test_unknown_database():
    with pytest.raises(InputError, match="ASE cannot open it"):
        campaign.opened("results.qqq")


def test_a_server_that_is_not_there():
    installed = importlib.util.find_spec("ase_db_backends") and importlib.util.find_spec("psycopg2")
    said = "server does not answer" if installed else "pip install ase-db-backends"
    with pytest.raises(InputError, match=said) as caught:
        campaign.opened("postgresql://me:secret@localhost:1/none")
    assert "secret" not in str(caught.value) and "me:***@localhost" in str(caught.value)


def test_what_other_workers_hold_is_left_alone(tmp_path):
    """Reservations of a living process and of another machine stay; those of an ended process of this machine are dropped."""
    pool = run(tmp_path / "all.db", wanted=1e-6, calculations=29).rows
    path = tmp_path / "shared.db"
    db = connect(path)
    ended = 4_194_305  # above the largest number of a process
    for row, worker in zip(pool, (f"{campaign.HOST}:1", "another:7", f"{campaign.HOST}:{ended}"), strict=False):
        db.reserve(ordering=row["ordering"], worker=worker)
    got = run(path, wanted=1e-6, calculations=40)
    assert [r["status"] for r in got.rows].count("done") == 27 and len(got.rows) == 29
    assert len(run(path, wanted=1e-6, calculations=40, retry=True).expansion.training["energy"]) == 29


def test_two_workers_share_one_database(tmp_path):
    """Each ordering is reserved once, whoever asks."""
    db = [connect(tmp_path / "w.db") for _ in range(2)]
    assert campaign.reserved(db[0], "one") == 1 and campaign.reserved(db[1], "one") is None
    assert campaign.reserved(db[1], "two") == 2 and [r.ordering for r in db[0].select()] == ["one", "two"]
    assert {r.worker for r in db[0].select()} == {f"{campaign.HOST}:{os.getpid()}"}


def test_structures_of_a_round_are_computed_beside_each_other(tmp_path):
    """All four at once, and the results of one after another; a failure stays that of its structure."""
    meet = threading.Barrier(4, timeout=20)

    def together(atoms):
        meet.wait()
        return energy(atoms)

    with ThreadPoolExecutor(4) as pool:
        got = run(tmp_path / "p.db", together, wanted=1e-6, calculations=8, executor=pool)
    alone = run(tmp_path / "a.db", wanted=1e-6, calculations=8)
    assert {r["ordering"]: r["energy_eV"] for r in got.rows} == {r["ordering"]: r["energy_eV"] for r in alone.rows}
    assert got.uncertainty == pytest.approx(alone.uncertainty, rel=1e-9)

    def fails(atoms):
        raise RuntimeError("no convergence")

    with ThreadPoolExecutor(2) as pool:
        got = run(tmp_path / "f.db", fails, calculations=3, executor=pool)
    assert [r["reason"] for r in got.rows] == ["RuntimeError: no convergence"] * 3


def test_what_waits_for_workers_is_given_back_when_the_run_ends(tmp_path):
    hold, begun = threading.Event(), []

    def waits(atoms):
        begun.append(atoms)
        hold.wait(20)
        return energy(atoms)

    with ThreadPoolExecutor(1) as pool:
        got = run(tmp_path / "s.db", waits, executor=pool, stop=lambda: bool(begun))
        hold.set()
    assert got.rows == [] and len(connect(tmp_path / "s.db")) == 0


def test_proposals_are_the_most_uncertain():
    X = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 3], [1, 0.1, 0]])
    assert campaign.propose(X, [0], [1, 2, 3], 2, None, None) == [2, 1]
