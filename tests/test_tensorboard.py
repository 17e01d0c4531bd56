"""SummaryWriter: what TensorBoard reads back is what was added."""

import subprocess
import sys

import pytest

import chainrule as torch

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from chainrule.utils.tensorboard import SummaryWriter  # noqa: E402


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def test_scalars(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 1, walltime=12.0)
        writer.add_scalar("loss", torch.tensor(0.25, requires_grad=True), 2)
        writer.add_scalars("both", {"train": 1, "test": 2.0}, 3)
        assert writer.get_logdir() == str(tmp_path)
    read = events(tmp_path).Tensors("loss")
    assert [(e.step, e.tensor_proto.float_val[0]) for e in read] == [(1, 0.5), (2, 0.25)]
    assert read[0].wall_time == 12.0
    for tag, value in (("train", 1.0), ("test", 2.0)):
        (event,) = events(tmp_path / f"both_{tag}").Tensors("both")
        assert (event.step, event.tensor_proto.float_val[0]) == (3, value)


def test_text_and_histogram(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.add_text("note", "**hello**", 4)
    writer.add_histogram("w", torch.arange(100), 5, bins=10)
    writer.flush()
    found = events(tmp_path)
    (text,) = found.Tensors("note/text_summary")
    assert text.tensor_proto.string_val[0] == b"**hello**"
    (histogram,) = found.Tensors("w")
    assert [d.size for d in histogram.tensor_proto.tensor_shape.dim] == [10, 3]
    writer.close()


def test_adding_after_close_begins_a_new_file(tmp_path):
    writer = SummaryWriter(tmp_path, purge_step=2)
    writer.close()
    writer.add_scalar("a", 1.0)
    writer.close()
    assert len(list(tmp_path.glob("events*"))) == 2
    assert events(tmp_path).Tensors("a")[0].step == 0


def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SummaryWriter(comment="_lr1").close()
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_lr1")


def test_without_tensorboard():
    program = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from chainrule.utils.tensorboard import SummaryWriter"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: SummaryWriter requires the package tensorboard, got none" in done.stderr
    assert "hint: pip install tensorboard" in done.stderr


def test_utils_loads_tensorboard_only_when_asked():
    import chainrule.utils

    assert chainrule.utils.data is sys.modules["chainrule.data"]
    assert chainrule.utils.tensorboard is sys.modules["chainrule.utils.tensorboard"]
    with pytest.raises(AttributeError, match="module 'chainrule.utils' has no attribute 'nothing'"):
        chainrule.utils.nothing  # noqa: B018
