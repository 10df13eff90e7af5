"""What "the same answer" means for each network of the zoo: one number per network, of any runner against float.

A runner turns one network's inputs into its outputs by name. Every measure is 1 where a runner answers as the float
network does, except for the digits, whose labels are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import street

from chanzi import zoo
from chanzi.zoo import digits, faces, lines, pedestrian
from chanzi.zoo.boxes import Detections, average_precision
from chanzi.zoo.pictures import PAGES, PEOPLE

Arrays = dict[str, npt.NDArray[np.float32]]
Decode = Callable[..., Detections]
TRUTH_SCORE, FOUND_SCORE = 0.5, 0.3
"""Float detections from this score up are the truth; found ones count from that score up (low ones rank last)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number for a network's outputs on `feeds`, beside those of the float network."""

    title: str
    of: Callable[[Sequence[Arrays], Sequence[Arrays]], float]
    feeds: Callable[[int], list[Arrays]]
    frames: int


def accuracy(outputs: Sequence[Arrays], _: Sequence[Arrays]) -> float:
    """Return the share of the held-out digits that are read right."""
    labels = digits.load_data().test_labels[: len(outputs)]
    return float(np.mean([out["logits"].argmax() == label for out, label in zip(outputs, labels, strict=True)]))


def top1(outputs: Sequence[Arrays], truth: Sequence[Arrays]) -> float:
    """Return the share of frames whose best class is the float network's."""
    best = [[next(iter(out.values())).argmax() for out in side] for side in (outputs, truth)]
    return float(np.mean(np.equal(*best)))


def ap50(outputs: Sequence[Arrays], truth: Sequence[Arrays], *, decode: Decode) -> float:
    """Return the average precision, at half overlap, against the float network's detections."""
    found = [decode(out, threshold=FOUND_SCORE) for out in outputs]
    return average_precision(found, [decode(out, threshold=TRUTH_SCORE) for out in truth])


def overlap(outputs: Sequence[Arrays], truth: Sequence[Arrays], *, name: str, threshold: float) -> float:
    """Return the intersection over union of the cells where output `name` exceeds the threshold, all frames at once."""
    mine, theirs = (np.stack([out[name] for out in side]) > threshold for side in (outputs, truth))
    return float((mine & theirs).sum() / max((mine | theirs).sum(), 1))


def line_f1(outputs: Sequence[Arrays], truth: Sequence[Arrays]) -> float:
    """Return the mean F1 of the decoded lines against the float network's."""
    pairs = zip(outputs, truth, strict=True)
    return float(np.mean([lines.agreement(lines.decode(mine), lines.decode(theirs)) for mine, theirs in pairs]))


def _digits(count: int) -> list[Arrays]:
    return [{digits.INPUT: image[None]} for image in digits.load_data().test_images[:count]]


def _crops(name: str, count: int, *, names: Sequence[str] | None = None, least: float = 0.5) -> list[Arrays]:
    return [zoo.feed(name, image) for image in zoo.crops(count, seed=0, names=names, least=least)]


def _street(count: int) -> list[Arrays]:
    """Return tiles of the street video, spread over all of it."""
    every = [tile for frame in street.frames() or [] for tile in street.tiles(frame)]
    return [zoo.feed("pedestrian", every[index * len(every) // count]) for index in range(count)]


def _measure(name: str) -> Measure:
    people = partial(_crops, name, names=PEOPLE)
    plain = partial(_crops, name)
    match name:
        case "digits":
            return Measure(title="accuracy on 360 held-out digits", of=accuracy, feeds=_digits, frames=360)
        case "pedestrian":
            of = partial(ap50, decode=pedestrian.decode)
            if street.kept_frames().is_file():
                return Measure(title="AP50 against float, a street", of=of, feeds=_street, frames=100)
            return Measure(title="AP50 against float, people", of=of, feeds=people, frames=60)
        case "centerface":
            of = partial(ap50, decode=faces.decode_centerface)
            return Measure(title="AP50 against float, faces", of=of, feeds=people, frames=24)
        case "blazeface":
            of = partial(ap50, decode=faces.decode_blazeface)
            return Measure(title="AP50 against float, faces", of=of, feeds=people, frames=60)
        case "mlsd_tiny":
            return Measure(title="F1 of lines against float", of=line_f1, feeds=plain, frames=12)
        case "ppocr_det":
            of = partial(overlap, name="sigmoid_0.tmp_0", threshold=0.3)
            feeds = partial(_crops, name, names=(*PAGES, "rocket"))
            return Measure(title="IoU of text pixels against float", of=of, feeds=feeds, frames=12)
        case "efficientnet_lite0":
            return Measure(title="top-1 agreement with float", of=top1, feeds=plain, frames=300)
    return Measure(title="top-1 agreement with float (seeded weights)", of=top1, feeds=plain, frames=26)


MEASURES: dict[str, Measure] = {name: _measure(name) for name in zoo.NETWORKS}
