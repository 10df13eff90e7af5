"""Make the driving networks that ship: drives collected, a network trained, drives of its own added, trained again.

    python bench/train_drive.py FOLDER                  every stage; what is in FOLDER already is not made again
    python bench/train_drive.py FOLDER --write          the same, and put the network into the package
    python bench/train_drive.py FOLDER --rounds 1       stop after so many rounds of the network's own drives
    python bench/train_drive.py FOLDER --net carracing  another network; highway is made without

FOLDER holds drives (`drives/`), and a folder for each round of training. Needs the extra [train]; about two hours of
one core.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from chanzi.drive.network.aggregate import Lesson, aggregate
from chanzi.drive.network.batches import Frames
from chanzi.drive.network.collect import Recipe, collect
from chanzi.drive.network.export import to_int8
from chanzi.drive.network.revive import revive
from chanzi.drive.network.shards import read_shard
from chanzi.drive.network.spec import IMAGES, STATE, FloatArray, NetSpec
from chanzi.drive.network.train import CHECKPOINT, NETWORK, Training, train
from chanzi.drive.pilot import Pilot
from chanzi.drive.world.registry import make_world

DATA = Path(__file__).parents[1] / "src" / "chanzi" / "drive" / "data"
INT8 = "drive-int8.onnx"
CALIBRATION_FRAMES = 192


ROUNDS = (
    Training(epochs=8, rate=3e-3, held_share=0.08),
    Training(epochs=6, rate=2e-3, held_share=0.08),
    Training(epochs=10, rate=1.5e-3, held_share=0.08),
)
"""The first learns from the expert; each that follows begins with the weights before, on all drives so far."""
METADRIVE_ROUNDS = (
    Training(epochs=5, rate=1e-3, held_share=0.06, untold_share=0.35, mirror=False),
    Training(epochs=4, rate=8e-4, held_share=0.06, untold_share=0.35, mirror=False),
)
"""Without a mirror: traffic keeps to the right there, with a yellow line to its left."""
REVIVE_FRAMES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Drives:
    """Drives of one kind: whose, where, and how many.

    Parameters
    ----------
    name : str
        Of its folder.
    recipe : Recipe
    expert : int
        Episodes of the expert.
    own : tuple of int
        Episodes of the network in each round that follows; as many as in the last in those beyond.
    before : int
        Episodes, in the first round, of the network that `--before` names: one that shipped earlier shows its mistakes
        before there is another.
    lesson : Lesson
        How the network's own are shared with a teacher.
    """

    name: str
    recipe: Recipe
    expert: int
    own: tuple[int, ...]
    before: int = 0
    lesson: Lesson = field(default_factory=Lesson)


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A network that ships.

    Parameters
    ----------
    spec : NetSpec
    drives : tuple of Drives
        What it learns from.
    pace : float
        How much faster than it proposes it drives.
    parent : str
        The network whose weights it begins with.
    rounds : tuple of Training
    """

    spec: NetSpec
    drives: tuple[Drives, ...]
    pace: float = 1.0
    parent: str = ""
    rounds: tuple[Training, ...] = ROUNDS


def highway(scenario: str, weather: str, variety: float, *, expert: int, own: int) -> Drives:
    """Return drives on one of highway-env's roads."""
    options = {"weather": weather, "variety": variety}
    recipe = Recipe(world=f"highway:{scenario}", options=options, seconds=60.0)
    return Drives(name=f"highway-{scenario}-{weather}", recipe=recipe, expert=expert, own=(own,))


def metadrive(scenario: str, weather: str, *, expert: int, before: int, own: tuple[int, ...]) -> Drives:
    """Return drives on one of MetaDrive's roads, whose lines may not be crossed: the pushes are small."""
    recipe = Recipe(
        world=f"metadrive:{scenario}",
        options={"weather": weather, "variety": 0.3},
        every_s=0.2,
        burst_rad=0.06,
        wander_m=0.35,
        most_lateral_m=1.6,
        seconds=70.0,
    )
    name = f"metadrive-{scenario}-{weather}"
    return Drives(name=name, recipe=recipe, expert=expert, own=own, before=before, lesson=Lesson(far_m=0.7))


NETS = {
    "highway": Net(
        spec=NetSpec(),
        drives=(
            highway("racetrack", "clear", 0.2, expert=12, own=10),
            highway("racetrack", "mixed", 0.6, expert=4, own=8),
            highway("racetrack-large", "mixed", 0.4, expert=8, own=6),
            highway("racetrack-oval", "mixed", 0.4, expert=6, own=4),
        ),
    ),
    "metadrive": Net(
        spec=NetSpec(),
        pace=0.8,
        parent="metadrive",
        rounds=METADRIVE_ROUNDS,
        drives=(
            metadrive("roundabout", "clear", expert=60, before=50, own=(12,)),
            metadrive("intersection", "clear", expert=50, before=40, own=(36,)),
            metadrive("curve", "clear", expert=8, before=3, own=(1,)),
            metadrive("straight", "clear", expert=5, before=2, own=(1,)),
            metadrive("mixed", "mixed", expert=4, before=0, own=(0,)),
        ),
    ),
    "carracing": Net(
        spec=NetSpec(height=96, width=96),
        pace=1.2,
        drives=(
            Drives(
                name="carracing",
                # A track 13 m wide, driven at 50 m/s: as much is noise there as on a road a quarter as fast.
                recipe=Recipe(
                    world="carracing", every_s=0.08, burst_rad=0.06, wander_m=2.5, most_lateral_m=7.0, seconds=20.0
                ),
                expert=30,
                own=(16,),
                lesson=Lesson(share=0.3, stretch_s=1.0, far_m=4.5),
            ),
        ),
    ),
}
FIRST_SEED = 100_000
"""Of training; a round begins 1,000 later. Seeds below are for trying, those from 900,000 on for the end."""


def say(text: str) -> None:
    """Print with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def gather(folder: Path, drives: tuple[Drives, ...], round_: int, int8: Path | None, before: Path | None) -> list[Path]:
    """Return the episodes of a round, driven if they are not there: the expert's, or a network's own."""
    found = []
    for kind in drives:
        begin = FIRST_SEED + 1000 * round_
        where = folder / "drives" / f"{round_}-{kind.name}"
        if int8 is None:
            found += collect(where, range(begin, begin + kind.expert), kind.recipe, progress=say)
            if kind.before and before is not None:
                where, seeds = folder / "drives" / f"before-{kind.name}", range(begin + 500, begin + 500 + kind.before)
                pilot = Pilot(before, backend="ort-int8")
                found += aggregate(where, seeds, kind.recipe, pilot, kind.lesson, progress=say)
        elif own := kind.own[min(round_, len(kind.own)) - 1]:
            pilot = Pilot(int8, backend="ort-int8")
            found += aggregate(where, range(begin, begin + own), kind.recipe, pilot, kind.lesson, progress=say)
    return found


def quantized(floating: Path, shards: list[Path]) -> bytes:
    """Return the 8-bit network, calibrated with frames of the training's drives."""
    rng = np.random.default_rng(0)
    feeds: list[dict[str, FloatArray]] = []
    share = -(-CALIBRATION_FRAMES // len(shards))
    for path in shards:
        shard = read_shard(path)
        for i in rng.choice(len(shard), min(share, len(shard)), replace=False):
            images = np.ascontiguousarray(shard.images[i].transpose(2, 0, 1)[None], np.float32)
            feeds.append({IMAGES: images, STATE: shard.state[i][None].astype(np.float32)})
    return to_int8(floating.read_bytes(), feeds)


def checkpoint_of(floating: Path, shards: list[Path], made: Path) -> Path:
    """Return the checkpoint of a network that is there as a float ONNX file alone."""
    frames = Frames([read_shard(path) for path in shards])
    some = np.random.default_rng(0).permutation(len(frames))[:REVIVE_FRAMES]
    made.write_bytes(revive(floating, frames.batch(some)))
    return made


def main() -> None:
    """Run every stage that is not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--net", choices=NETS, default="highway")
    parser.add_argument(
        "--parent", type=Path, help="checkpoint.npz or float.onnx to begin with, where the network has a parent"
    )
    parser.add_argument(
        "--before", type=Path, help="INT8.onnx that shipped before, whose drives are in the first round"
    )
    parser.add_argument("--rounds", type=int, help="after the first; all that the network has without")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()

    net = NETS[args.net]
    last = len(net.rounds) - 1 if args.rounds is None else args.rounds
    world = make_world(net.drives[0].recipe.world)
    cameras = world.cameras
    world.close()
    shards: list[Path] = []
    int8: Path | None = None
    parent: Path | None = args.parent
    if bool(net.parent) != (parent is not None):
        parser.error(f"{args.net} begins with {net.parent or 'nothing'}: --parent")
    told = []
    for round_, training in enumerate(net.rounds[: last + 1]):
        shards += gather(args.folder, net.drives, round_, int8, args.before)
        out = args.folder / f"round-{round_}"
        done, int8 = out / "report.json", out / INT8
        if not done.is_file():
            out.mkdir(parents=True, exist_ok=True)
            if parent is not None and parent.suffix == ".onnx":
                parent = checkpoint_of(parent, shards, args.folder / "parent.npz")
            training = replace(training, threads=args.threads)
            report = train(shards, out, net.spec, training, cameras=cameras, parent=parent, progress=say)
            int8.write_bytes(quantized(out / NETWORK, shards))
            done.write_text(report.to_json() + "\n")
        parent = out / CHECKPOINT
        told.append(json.loads(done.read_text()))
        say(f"round {round_}: {told[-1]}")
    if args.write:
        write(args.folder / f"round-{last}", args.net, told, args.parent, args.before)


def lean(model: bytes) -> bytes:
    """Return a float network with the weights rounded to what bfloat16 holds: a wheel packs it to less than half."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            bits = numpy_helper.to_array(tensor).view(np.uint32)
            kept = ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
    return proto.SerializeToString()


def write(out: Path, name: str, told: list[dict[str, object]], parent: Path | None, before: Path | None) -> None:
    """Put a network into the package, with how it was made."""
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / f"{name}.onnx").write_bytes(lean((out / NETWORK).read_bytes()))
    (DATA / f"{name}-int8.onnx").write_bytes((out / INT8).read_bytes())
    given = (("--parent", parent), ("--before", before))
    begin = "".join(f" {option} OLD/{path.name}" for option, path in given if path is not None)
    rounds = f" --rounds {len(told) - 1}" if len(told) < len(NETS[name].rounds) else ""
    made = {
        "command": f"python bench/train_drive.py FOLDER --net {name}{begin}{rounds} --write",
        "pace": NETS[name].pace,
        "first_seed": FIRST_SEED,
        "drives": [asdict(kind) for kind in NETS[name].drives],
        "calibration_frames": CALIBRATION_FRAMES,
        "rounds": [asdict(t) | report for t, report in zip(NETS[name].rounds, told, strict=False)],
    }
    (DATA / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    say(f"wrote {name} to {DATA}")


if __name__ == "__main__":
    main()
