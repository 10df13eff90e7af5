"""``chanzi drive`` in process, in a world that wants nothing installed."""

import json
import sys
from pathlib import Path

import pytest

from chanzi.cli.app import make_app
from chanzi.cli.guard import guarded
from chanzi.drive.world import registry

sys.path.insert(0, str(Path(__file__).parents[1] / "drive"))

import ring


class RingWorld(ring.Ring):
    """The tests' ring as a world with options."""

    def __init__(self, *, cameras: int = 1, frame_s: float = 0.1, traffic: int = 0) -> None:
        super().__init__(cameras=cameras, frame_s=frame_s, obstacle_rad=1.0 if traffic else None)


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    entry = registry._Entry(place="chanzi.nowhere:RingWorld", detail="scenario", needs="nothing", package="json")
    monkeypatch.setattr(registry, "_WORLDS", {"ring": entry})
    module = type(sys)("chanzi.nowhere")
    module.RingWorld = RingWorld
    monkeypatch.setitem(sys.modules, "chanzi.nowhere", module)
    monkeypatch.chdir(tmp_path)

    def call(*tokens, files=False):
        without = [] if files else ["--no-files"]
        code = guarded(make_app(), ["drive", "--sim", "ring", *without, *map(str, tokens)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_drive_prints_what_the_episodes_come_to(command):
    code, out, _ = command("-n", 2, "--seconds", 3, "--backend", "truth")
    assert code == 0
    for word in ("route completion", "collisions an episode", "off road", "light to steering"):
        assert word in out


def test_drive_json_is_the_same_for_the_same_seed(command):
    code, out, _ = command("-n", 2, "--seconds", 3, "--seed", 5, "--json", "--backend", "truth", "--latency-ms", 50)
    assert code == 0
    found = json.loads(out)
    assert [e["seed"] for e in found["episodes"]] == [5, 6]
    assert found["total"]["latency"]["mean_s"] == pytest.approx(0.08)  # 70 ms, and the next tick of 20
    assert (
        json.loads(command("-n", 2, "--seconds", 3, "--seed", 5, "--json", "--backend", "truth", "--latency-ms", 50)[1])
        == found
    )


def test_drive_with_a_frozen_camera_stops_and_says_why(command):
    code, out, _ = command("--backend", "truth", "--fault", "frozen@2", "--seconds", 10, "--json")
    assert code == 0
    (episode,) = json.loads(out)["episodes"]
    assert episode["ended"] == "stopped"
    assert "main camera: frozen" in episode["stops"][0]["why"]


def test_drive_writes_log_tables_trace_and_film(command, tmp_path):
    pytest.importorskip("mcap")
    pytest.importorskip("imageio_ffmpeg")
    code, _, err = command("--backend", "truth", "--seconds", 1, "-n", 2, "--folder", "made", files=True)
    assert code == 0, err
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names >= {"drive.mp4", "drive.mcap", "drive.json", "episodes.parquet", "frames.parquet"}
    assert not any(name.startswith(".") for name in names)
    assert json.loads((tmp_path / "made" / "drive.json").read_text("utf-8"))["traceEvents"]
    assert "drive.mp4" in err


def test_a_sweep_finds_where_the_ring_is_left(command, tmp_path):
    tokens = (
        "--backend",
        "truth",
        "-n",
        2,
        "--seconds",
        8,
        "--sweep",
        "latency_ms=1,100,3000",
        "--sweep",
        "pace=1,1.5",
    )
    code, out, _ = command(*tokens, "--json", files=True)
    assert code == 0
    found = json.loads(out)
    assert [drive["at"] for drive in found["drives"]] == [
        {"pace": pace, "latency_ms": ms} for pace in (1.0, 1.5) for ms in (1.0, 100.0, 3000.0)
    ]
    late = [drive["total"]["completion"]["value"] for drive in found["drives"][:3]]
    assert late[1] > late[0] - 0.02 > late[2] + 0.02  # three seconds old plans are not driven by: it stops
    assert found["edges"][0].startswith("pace 1: as good as the fastest until latency_ms 100")
    page = (tmp_path / "drives.html").read_text("utf-8")
    assert "as good as the fastest until latency_ms 100" in page


def test_backends_drive_the_same_episodes(command):
    code, out, _ = command("--backend", "truth,expert", "--seconds", 2, "--json")
    assert code == 0
    assert [drive["at"] for drive in json.loads(out)["drives"]] == [{"backend": "truth"}, {"backend": "expert"}]


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (("-n", "0"), "0 episodes"),
        (("--fps", "0"), "frames a second"),
        (("--jobs", "0"), "0 jobs"),
        (("--model", "none.onnx"), "no network none.onnx"),
        (("--backend", "chip"), "needs a network"),
        (("--redundant",), "two chips and backend 'truth'"),
        (("--pace", "0"), "a pace of 0"),
        (("--backend", "flaot"), "did you mean 'float'?"),
        (("--chips", "chanzi-61"), "did you mean 'chanzi-16'?"),
        (("--sweep", "latency_ms"), "such as latency_ms="),
        (("--sweep", "clock_hz=0:1:2"), "cannot sweep"),
        (("--sweep", "clok_hz=1"), "did you mean 'clock_hz'?"),
        (("--sweep", "core=1"), "one of core.dim"),
        (("--sweep", "core.dim=17"), "core.dim 17"),
        (("--sweep", "name=1"), "a number of the chip"),
        (("--fault", "frosen"), "did you mean 'frozen'?"),
        (("--fault", "black#7"), "camera 7 of 1"),
        (("--fault", "black@"), "such as frozen"),
        (("--traffic", "0.5", "--scenario", "x"), "no option 'scenario'"),
    ],
)
def test_a_mistake_is_one_line(command, tokens, says):
    code, _, err = command(*tokens, "--seconds", 1)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
