"""Public PyTorch programs, run unchanged on both PyTorch and chainrule, and their losses.

They are read from a folder the tester names; nothing of theirs is kept here.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TEXT = "tinyshakespeare.txt"


@dataclass(frozen=True)
class Program:
    """A script of a repository (or one of ours beside this file) and how to call it."""

    name: str
    folder: str
    script: str
    args: tuple[str, ...] = ()
    steps: int = 20
    prepare: Callable[[Path, Path], None] = lambda public, work: None
    same_output: bool = False
    needs: str | None = None


def characters(public: Path, work: Path) -> None:
    """The text as numbered characters, in the two binary files and the table nanoGPT reads."""
    text = (public / TEXT).read_text()[:100_000]
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    ids = np.array([number[letter] for letter in text], dtype=np.uint16)
    folder = work / "data" / "shakespeare_char"
    folder.mkdir(parents=True, exist_ok=True)
    ids[:90_000].tofile(folder / "train.bin")
    ids[90_000:].tofile(folder / "val.bin")
    table = {"vocab_size": len(letters), "itos": dict(enumerate(letters)), "stoi": number}
    (folder / "meta.pkl").write_bytes(pickle.dumps(table))


def words(public: Path, work: Path) -> None:
    """Three small files of words for the word language model."""
    lines = (public / TEXT).read_text().splitlines()
    (work / "corpus").mkdir()
    for name, first, last in (("train", 0, 500), ("valid", 500, 550), ("test", 550, 600)):
        (work / "corpus" / f"{name}.txt").write_text("\n".join(lines[first:last]))


def text(public: Path, work: Path) -> None:
    shutil.copy(public / TEXT, work)


def makemore(kind: str, *args: str) -> Program:
    return Program(f"makemore-{kind}", "makemore", "makemore.py", ("--type", kind, *args))


def word_model(kind: str, *args: str) -> Program:
    sizes = "--data corpus --emsize 16 --nhid 24 --batch_size 5 --bptt 10 --epochs 1".split()
    folder = "examples/word_language_model"
    return Program(f"words-{kind}", folder, "main.py", (*sizes, "--model", kind, *args),
                   prepare=words)  # fmt: skip


NANOGPT = """--device=cpu --dtype=float32 --compile=False --dataset=shakespeare_char --eval_iters=2
 --gradient_accumulation_steps=2 --batch_size=4 --block_size=32 --n_layer=2 --n_head=2 --n_embd=32
 --dropout=0.1 --warmup_iters=5 --learning_rate=1e-2 --max_iters=20""".split()
SMALLER_RATE = ("--lr", "5")
ONE_PROCESS = ("--num-workers", "0")
PROGRAMS = [
    Program("micrograd", "micrograd", str(HERE / "call_tests.py"), ("test/test_engine.py",)),
    Program("nanoGPT-model", "nanoGPT", str(HERE / "train_gpt.py"), (TEXT, "20"), 99, text, True),
    Program("nanoGPT-train", "nanoGPT", "train.py", tuple(NANOGPT), prepare=characters),
    makemore("bigram"),
    makemore("mlp", *ONE_PROCESS),
    makemore("rnn", *ONE_PROCESS),
    makemore("gru", *ONE_PROCESS),
    makemore("bow", *ONE_PROCESS),
    makemore("transformer", *ONE_PROCESS),
    Program("regression", "examples/regression", "main.py"),
    word_model("LSTM"),
    # At its own learning rate of 20, PyTorch's losses of the last step differ by 12 % when one
    # bit of a parameter differs: only a smaller rate can be compared.
    word_model("GRU", "--tied", "--emsize", "24", *SMALLER_RATE),
    word_model("RNN_TANH", *SMALLER_RATE),
    word_model("RNN_RELU", *SMALLER_RATE),
    word_model("Transformer", "--use-optimizer", "--lr", "0.001"),
    Program("reinforce", "examples/reinforcement_learning", "reinforce.py", needs="gymnasium"),
    Program("actor-critic", "examples/reinforcement_learning", "actor_critic.py",
            needs="gymnasium"),
]  # fmt: skip


def start(program: Program, backend: str, public: Path, scratch: Path) -> subprocess.Popen:
    """Begin running a program in a copy of its folder, scratch/BACKEND."""
    work = scratch / backend
    shutil.copytree(public / program.folder, work)
    program.prepare(public, work)
    command = [HERE / "record.py", backend, scratch / f"{backend}.json", program.steps]
    command = [sys.executable, *map(str, command), program.script, *program.args]
    with open(scratch / f"{backend}.out", "w") as out, open(scratch / f"{backend}.err", "w") as err:
        return subprocess.Popen(command, cwd=work, stdout=out, stderr=err, env=dict(os.environ))


def losses(program: Program, public: Path, scratch: Path) -> dict[str, list[float]]:
    """The losses on either backend; RuntimeError with the program's last words if it fails."""
    backends = ("torch", "chainrule")
    running = {backend: start(program, backend, public, scratch) for backend in backends}
    for backend, process in running.items():
        if process.wait():
            said = (scratch / f"{backend}.err").read_text()[-4000:]
            raise RuntimeError(f"{program.name} on {backend}: exit {process.returncode}\n{said}")
    return {backend: json.loads((scratch / f"{backend}.json").read_text()) for backend in backends}


def deviation(got: list[float], want: list[float]) -> float:
    """The largest relative difference: max |got - want| / |want|."""
    return float(np.max(np.abs(np.subtract(got, want)) / np.abs(want)))
