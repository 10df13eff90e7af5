"""Files that claim to be arrays: right, or an error in one line."""

import io

import numpy as np
import pytest

from chanzi.cli.inputs import _from_npy, _from_npz
from chanzi.errors import RunError
from chanzi.program.model import TensorInfo

INFO = TensorInfo(name="x", type="tensor(float)", shape=(1, 4), frame=(1, 4))


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def npz(**arrays):
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def test_sound_files(tmp_path):
    value = np.arange(4, dtype=np.float32)[None]
    (tmp_path / "a.npy").write_bytes(npy(value))
    (tmp_path / "a.npz").write_bytes(npz(x=value, other=value))
    np.testing.assert_array_equal(_from_npy(tmp_path / "a.npy"), value)
    np.testing.assert_array_equal(_from_npz(tmp_path / "a.npz", [INFO])["x"], value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04 nothing", npy(np.zeros(3)), npz(x=np.zeros(99))[:60], npz(y=np.zeros(3), z=np.zeros(3))],
    ids=["empty", "no-archive", "an-npy", "cut-off", "other-names"],
)
def test_unsound_archives_are_one_line(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(RunError, match=r"a\.npz"):
        _from_npz(tmp_path / "a.npz", [INFO])


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00\x02\x00{}", npy(np.zeros(99))[:200]])
def test_unsound_arrays_are_one_line(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(RunError, match=r"a\.npy"):
        _from_npy(tmp_path / "a.npy")
