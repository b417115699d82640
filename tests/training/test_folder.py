"""The folder of a run: never overwritten unasked, one run's alone, and after a kill at any moment something to go on from."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

import ibsym
from ibsym.cli import main
from ibsym.training import DataError, TrainingError
from ibsym.training.checkpoint import CHECKPOINT, FILES, METRICS, Sparing, check_folder, load_checkpoint, locked
from ibsym.training.progress import Silent
from ibsym.training.train import run
from tests.training.helpers import ROOT, compiled

SMALL = {"hidden": 16, "batch": 200}
COMMAND = (sys.executable, "-m", "ibsym", "train", "vae", "--set", "hidden=16", "--set", "batch=200", "-q")


def go(folder, **options):
    spec, _, loss = compiled("vib")
    return run(spec, loss, **{"settings": SMALL, "epochs": 1, "out": folder} | options)


def state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("left", [*[(name,) for name in FILES], FILES])
def test_a_folder_that_holds_a_run_is_left_alone(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("precious")
    before = state(tmp_path)
    with pytest.raises(DataError, match=r"holds a run already \(.*\)\n  write: --resume .*, --overwrite .*, or -o"):
        go(tmp_path)
    assert state(tmp_path) == before
    (tmp_path / "notes.txt").write_text("mine")
    go(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == 1


def test_other_files_are_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    go(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_shorter_run_does_not_replace_the_longer(tmp_path):
    go(tmp_path, epochs=3)
    before = state(tmp_path)
    with pytest.raises(DataError, match="holds a run already"):
        go(tmp_path, epochs=1)
    assert state(tmp_path) == before
    with pytest.raises(DataError, match="one of them"):
        go(tmp_path, resume=True, overwrite=True)


def test_what_cannot_run_overwrites_nothing(tmp_path):
    go(tmp_path)
    before = state(tmp_path)
    for options in ({"settings": {"Q": 1}}, {"warmup": {"Q": 1}}, {"labelled": 10**6}, {"data": "nowhere"}):
        with pytest.raises(ibsym.IbsymError):
            go(tmp_path, overwrite=True, **options)
    assert state(tmp_path) == before


def test_numbers_and_curves_are_there_while_it_goes(tmp_path):
    seen = []

    class Watch(Silent):
        def epoch(self, entry):
            if entry["epoch"] == 1:
                seen.append(set(state(tmp_path)))
                seen.append(json.loads((tmp_path / "metrics.json").read_text()))

    go(tmp_path, epochs=2, report=Watch())
    assert seen[0] == {"checkpoint.pt", "metrics.json", "terms.png"}
    assert (seen[1]["epochs"], seen[1]["finished"], len(seen[1]["history"])) == (1, False, 1)
    last = json.loads((tmp_path / "metrics.json").read_text())
    assert (last["epochs"], last["finished"]) == (2, True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, TrainingError, MemoryError])
def test_what_stops_a_run_leaves_its_numbers(tmp_path, error):
    class Stop(Silent):
        def epoch(self, entry):
            if entry["epoch"] == 3:
                raise error

    with pytest.raises(error):
        go(tmp_path, epochs=5, report=Stop())
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert (content["epochs"], content["finished"]) == (3, False)
    straight = run(*[compiled("vib")[k] for k in (0, 2)], settings=SMALL, epochs=4)
    assert go(tmp_path, epochs=4, resume=True).history == straight.history


@pytest.mark.slow
def test_a_killed_command_leaves_curves_and_goes_on(tmp_path):
    folder, epoch = tmp_path / "run", 4
    with subprocess.Popen([*COMMAND, "--epochs", "100000", "-o", str(folder)], cwd=ROOT) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            drawn = (folder / "metrics.json").is_file() and (folder / "terms.png").is_file()
            if drawn and json.loads((folder / "metrics.json").read_text())["epochs"] >= epoch:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = len(torch.load(folder / "checkpoint.pt", weights_only=True)["history"])
    assert done >= epoch
    assert (folder / "terms.png").read_bytes()[:4] == b"\x89PNG"
    content = json.loads((folder / "metrics.json").read_text())
    assert content["history"]
    assert not content["finished"]
    again = [*COMMAND[4:], "--epochs", str(done + 1), "-o", str(folder)]
    status, said = told(again, lambda: None)
    assert status == 2
    assert "--resume" in said
    assert told([*again, "--resume"], lambda: None) == (0, "")
    assert json.loads((folder / "metrics.json").read_text())["epochs"] == done + 1
    assert {path.name for path in folder.iterdir()} <= set(FILES)  # neither a lock nor half a file is left


class Started(Silent):
    """Tells the parent that training begins, over a pipe."""

    def __init__(self, pipe):
        self.pipe = pipe

    def start(self, *about):
        os.write(self.pipe, b"!")


def killed(moment, start):
    """A child that runs ``start(report)`` and is killed without a word: so many seconds into training, or at a file that it touches."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            if isinstance(moment, int):
                at_file(moment)
            start(Started(writing))
        finally:
            os._exit(3)
    os.close(writing)
    os.read(reading, 1)  # ends too where the child does
    os.close(reading)
    if isinstance(moment, float):
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def at_file(number):
    """From now on this process dies as it opens, changes, renames or removes a file of a run for that time."""
    left = [number]

    def watch(event, arguments):
        if event in ("open", "os.chmod", "os.rename", "os.remove") and any(Path(f).stem in str(arguments[0]) for f in FILES):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def test_twenty_kills_and_a_run_that_was_never_killed_are_one(tmp_path):
    """At random moments, and between any two things that are done to files: there is always a whole epoch to go on from."""
    random, pixels = Random(4), np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(40) % 2)
    folder, done = tmp_path / "run", 0
    same = {"data": tmp_path / "a.npz", "settings": {"hidden": 4, "batch": 16}}
    go(tmp_path / "warm", **same)  # what is imported and compiled here, no child waits for

    def start(report):
        go(folder, epochs=10**5, resume=(folder / CHECKPOINT).exists(), report=report, **same)

    for number in range(20):
        killed(random.randrange(16) if number % 2 else random.uniform(0, 0.3), start)
        if (folder / CHECKPOINT).exists():  # not where the first of all was not written yet
            before, done = done, len(load_checkpoint(folder, {})["history"])
            assert done >= before
            assert all(json.loads(path.read_text())["history"] for path in folder.glob(METRICS))
    assert done
    resumed = go(folder, epochs=done + 1, resume=True, **same)
    assert resumed.history == go(None, epochs=done + 1, **same).history
    assert {path.name for path in folder.iterdir()} <= set(FILES)


def test_a_run_killed_before_its_first_epoch_goes_on(tmp_path):
    straight = go(None, epochs=2)
    pid = os.fork()
    if not pid:  # a child that ends at once where the parent would save
        import ibsym.training.trainer as training

        training.Trainer.epoch = lambda self: os._exit(7)
        go(tmp_path, epochs=2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert go(tmp_path, epochs=2, resume=True).history == straight.history


def test_two_runs_in_one_folder(tmp_path):
    messages = []

    class Second(Silent):
        def epoch(self, entry):
            for options in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(DataError, match="another run is at work") as info:
                    go(tmp_path, **options)
                messages.append(str(info.value))

    go(tmp_path, report=Second())
    assert len(messages) == 2
    go(tmp_path, resume=True)


def test_a_lock_ends_with_its_process(tmp_path):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with locked(tmp_path):
            os.write(writing, b"!")
            signal.pause()
    assert os.read(reading, 1) == b"!"
    with pytest.raises(DataError, match="another run is at work"), locked(tmp_path):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with locked(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_swept(tmp_path):
    (tmp_path / ".checkpoint-abc.pt").write_text("half")
    (tmp_path / ".mine-abc.pt").write_text("mine")
    go(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine-abc.pt", "checkpoint.pt", "metrics.json", "terms.png"]


def told(arguments, prepare):
    """The exit status and the words of the command in a child that ``prepare`` has put into trouble."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writing, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        status = 1
        try:
            prepare()
            main(["train", *arguments])
        except SystemExit as end:
            status = end.code
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def few_bytes():
    """No file of this process may be longer than a page."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


QUICK = ["vib", "--set", "hidden=16", "--set", "batch=200", "-q", "--epochs", "3", "-o"]


@pytest.mark.parametrize("options", [(), ("--logger", "csv")])
def test_a_full_disk_is_named_and_the_last_whole_epoch_is_kept(tmp_path, monkeypatch, options):
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    go(tmp_path, epochs=1)
    before = state(tmp_path)
    status, said = told([*QUICK, str(tmp_path), "--resume", *options], few_bytes)
    assert status == 2, said
    assert f"{tmp_path / 'checkpoint.pt'}: cannot be written: File too large\n  write: -o" in said
    assert len(said.splitlines()) == 2
    assert state(tmp_path) == before
    status, said = told([*QUICK, str(tmp_path / "new")], few_bytes)
    assert (status, len(said.splitlines())) == (2, 2)
    assert list((tmp_path / "new").iterdir()) == []


def test_folders_in_which_nobody_may_write(tmp_path, monkeypatch):
    """Root as well: of the kernel's own file system, and of one that is mounted to be read."""
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    compiled("vib")
    places = [Path("/proc/run")]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    if not subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", mounted], capture_output=True).returncode:
        places += [mounted, mounted / "run"]
    try:
        for place in places:
            status, said = told([*QUICK, str(place)], lambda: None)
            assert status == 2, said
            assert re.fullmatch(rf"ibsym: {place}\S*: cannot be written: .*\n  write: -o with a folder that can\n", said)
    finally:
        subprocess.run(["umount", mounted], capture_output=True)


def test_a_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/run: cannot be written: Not a directory\n  write: -o"):
        go(tmp_path / "file" / "run")
    (tmp_path / "logs").write_text("")
    with pytest.raises(DataError, match=r"logs.*: cannot be written: .*\n  write: -o"):
        go(tmp_path, machine={"logger": "csv"})
    replace = os.replace

    def refuse(source, target):
        raise OSError(30, "Read-only file system", str(source))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"run/checkpoint\.pt: cannot be written: Read-only file system"):
        go(tmp_path / "run")
    monkeypatch.setattr(os, "replace", replace)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_is_looked_at_before_anything_else(tmp_path):
    check_folder(tmp_path / "new", resume=False, overwrite=False)
    check_folder(tmp_path / "new", resume=False, overwrite=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(DataError, match="nothing to resume"):
        check_folder(tmp_path / "new", resume=True, overwrite=False)


def test_sparing_writes_first_seldom_and_last(monkeypatch):
    clock, written = [0.0], []

    def save():
        written.append(clock[0])
        clock[0] += 1

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    sparing = Sparing(save)
    for _ in range(60):
        clock[0] += 1
        sparing.soon()
    assert written == [1, 22, 43]
    sparing.last()
    sparing.last()
    assert len(written) == 4
