"""Real signals: to a run in a process of its own, and to ourselves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from test_run import INPUT

import dftopt
from dftopt.cli.signals import Signals

# the terminal's behaviour, also where the tests run in the background of a shell, which ignores Ctrl-C there
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dftopt.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_is_saved(number, tmp_path):
    (tmp_path / "si.toml").write_text(INPUT)
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "run", "si.toml", "--out", "out", "--tol", "1e-12"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("forecast"):  # the header, before any iteration
            process.send_signal(number)
            break
    rest, errors = process.communicate(timeout=300)
    printed = "".join(lines) + rest
    assert process.returncode == 1
    assert "Traceback" not in errors and f"dftopt: {number.name}" in errors
    assert f"Interrupted by {number.name}" in printed and "not converged: interrupted after" in printed
    assert "--start out/result.h5" in printed
    saved = dftopt.load(tmp_path / "out/result.h5")
    assert not saved.converged and saved.stats.iterations > 0
    assert json.loads((tmp_path / "out/result.json").read_text())["converged"] is False
    assert not (tmp_path / "out/bands.png").exists()


@pytest.fixture
def terminal():
    """Ctrl-C as in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_acts_as_ever(terminal, capfd):
    with pytest.raises(KeyboardInterrupt), Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == "SIGINT" and "again: at once" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back(terminal):
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert signal.getsignal(signal.SIGTERM) != before
    assert signals.received is None
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_stays_ignored(terminal):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.received is None


def test_other_threads_do_without():
    seen = []

    def run():
        with Signals() as signals:
            seen.append(signals.received)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [None]


def test_walltime_keeps_the_time_of_one_more_stretch():
    with Signals(walltime=60.0) as signals:
        assert not signals.stop() and signals.received is None
    with Signals(walltime=0.5) as signals:
        time.sleep(0.3)
        assert signals.stop() and signals.received == "--walltime"  # another 0.3 s would be too long


def test_walltime_counts_from_the_start_of_the_process():
    with Signals(walltime=10.0, begun=time.monotonic() - 11) as signals:
        assert signals.stop()
