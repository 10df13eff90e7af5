"""From shards to a network on the chip: it learns, it survives being killed, and it is the same network everywhere."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_net import SMALL, examples, write_shards

from chanzi.drive.network.batches import Frames
from chanzi.drive.network.export import spec_of, to_int8, to_onnx
from chanzi.drive.network.revive import revive
from chanzi.drive.network.shards import read_shard
from chanzi.drive.network.spec import IMAGES, OUTPUTS, STATE, feed
from chanzi.drive.network.train import CHECKPOINT, NETWORK, Training, train
from chanzi.drive.pilot import Pilot, same
from chanzi.errors import ChanziError, DriveError

onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    shards = write_shards(folder / "shards")
    training = Training(epochs=12, batch=16, rate=4e-3, held_share=0.2, threads=1)
    report = train(shards, folder / "out", SMALL, training)
    return folder, shards, training, report


@pytest.fixture(scope="module")
def networks(trained):
    """Return the float network, the int8 one and feeds that neither was trained on."""
    folder, *_ = trained
    floating = (folder / "out" / NETWORK).read_bytes()
    feeds = [feed(frame, SMALL) for frame, _ in examples(24, seed=50)]
    return floating, to_int8(floating, feeds[:12]), feeds[12:]


def weights(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name.startswith("net/")}


def test_it_learns(trained):
    *_, report = trained
    assert report.frames + report.held_frames == 240
    assert report.loss_after < 0.5 * report.loss_before
    assert report.left_m[0] < 0.5


def test_a_float_file_is_a_beginning(trained, networks, tmp_path):
    """Trained on at no rate to speak of, it says what it said: normalization is folded in, and set again."""
    folder, shards, *_ = trained
    floating, _, feeds = networks
    frames = Frames([read_shard(path) for path in shards])
    (tmp_path / "parent.npz").write_bytes(revive(folder / "out" / NETWORK, frames.batch(np.arange(len(frames)))))
    again = Training(epochs=1, batch=80, rate=1e-9, decay=0.0, mirror=False)
    train(shards, tmp_path, SMALL, again, parent=tmp_path / "parent.npz")
    before = onnxruntime.InferenceSession(floating)
    after = onnxruntime.InferenceSession((tmp_path / NETWORK).read_bytes())
    for inputs in feeds:
        for old, new in zip(before.run(None, inputs), after.run(None, inputs), strict=True):
            np.testing.assert_allclose(new, old, rtol=0.1, atol=0.1)


def test_killed_it_ends_as_if_it_had_not_been(trained, tmp_path):
    folder, shards, training, report = trained

    class KilledError(Exception):
        pass

    def kill(text):
        if text.startswith("epoch 5 "):
            raise KilledError

    with pytest.raises(KilledError):
        train(shards, tmp_path, SMALL, training, progress=kill)
    assert not (tmp_path / NETWORK).exists()
    again = train(shards, tmp_path, SMALL, training)
    assert again == report
    whole, resumed = weights(folder / "out" / CHECKPOINT), weights(tmp_path / CHECKPOINT)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / NETWORK).read_bytes() == (folder / "out" / NETWORK).read_bytes()


def test_a_child_begins_where_its_parent_ended(trained, tmp_path):
    folder, shards, _, report = trained
    parent = folder / "out" / CHECKPOINT
    child = train(
        shards, tmp_path, SMALL, Training(epochs=1, batch=16, rate=1e-4, held_share=0.2, threads=1), parent=parent
    )
    assert child.loss_before == pytest.approx(report.loss_after, rel=1e-5)


def test_what_cannot_be_learned_from_is_refused(trained, tmp_path):
    _, shards, *_ = trained
    with pytest.raises(DriveError, match="nothing to learn from"):
        train([], tmp_path, SMALL)
    with pytest.raises(DriveError, match="1 cameras"):
        train(shards, tmp_path, type(SMALL)(cameras=3, height=32, width=32))
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(DriveError, match="cannot go on"):
        train(shards, tmp_path, SMALL)


def test_pytorch_and_onnx_say_the_same(trained, networks):
    import onnxruntime

    from chanzi.drive.network.model import build

    folder, *_ = trained
    floating, _, feeds = networks
    net = build(SMALL).eval()
    stored = weights(folder / "out" / CHECKPOINT)
    net.load_state_dict({name[4:]: torch.from_numpy(array) for name, array in stored.items()})
    session = onnxruntime.InferenceSession(floating, providers=["CPUExecutionProvider"])
    assert spec_of(floating) == SMALL
    for one in feeds:
        with torch.no_grad():
            wanted = net(torch.from_numpy(one[IMAGES]), torch.from_numpy(one[STATE]))
        for a, b in zip(wanted, session.run(list(OUTPUTS), one), strict=True):
            assert np.allclose(a.numpy(), b, atol=1e-4)


def test_bytes_enter_the_chip_as_they_are(networks):
    import onnx

    _, int8, _ = networks
    graph = onnx.load_model_from_string(int8).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    doors = {n.input[0]: n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in (IMAGES, STATE)}
    assert set(doors) == {IMAGES, STATE}
    for node in doors.values():
        assert constants[node.input[1]] == 1.0
        assert constants[node.input[2]] == 0
        assert constants[node.input[2]].dtype == np.uint8


@pytest.mark.parametrize("chip", ["chanzi-8", "chanzi-16", "tesla-fsd-hw3"])
def test_on_the_chip_it_is_onnx_runtimes_network_bit_for_bit(networks, chip):
    _, int8, feeds = networks
    on_chip, judge = Pilot(int8, chip=chip), Pilot(int8, backend="ort-int8", chip=chip)
    assert not on_chip.session.model.host_steps
    assert on_chip.chip_s == judge.chip_s > 0
    for one in feeds:
        assert same(on_chip.outputs(one), judge.outputs(one))


def test_a_pilot_that_cannot_be_is_refused(networks, tmp_path):
    floating, int8, _ = networks
    with pytest.raises(ChanziError):
        Pilot(tmp_path / "none.onnx")
    with pytest.raises(DriveError, match="did you mean 'chip'"):
        Pilot(int8, backend="chips")
    with pytest.raises(DriveError, match="float network"):
        Pilot(int8, backend="float")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(DriveError):
        Pilot(tmp_path / "text.onnx")
    frame, _ = examples(1)[0]
    said = Pilot(int8, floating=floating, backend="float").look(frame)
    assert said.perception.frame == frame.number
    assert said.chip_s > 0


def test_the_file_names_no_folder_of_this_machine():
    """PyTorch's exporter writes where its source lines lie; such a file is never the same on two machines."""
    from chanzi.drive.network.model import build

    torch.manual_seed(0)
    data = to_onnx(build(SMALL), SMALL)
    assert b"site-packages" not in data
    assert b"/chanzi/" not in data
