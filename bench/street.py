"""Forty frames of a street with pedestrians: OpenCV's sample video, from Debian's package opencv-doc.

    python -m pip install av        # decodes the video (DivX 3); nothing else needs it
    python bench/street.py          # apt-get downloads 96 MB, unpacks, keeps the frames in the cache
    python bench/street.py vtest.avi

`bench/real_networks.py` takes the pedestrian detector's AP50 on these frames where they have been fetched, else on the
three photos with people that Python packages ship.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError
from chanzi.zoo.registry import sha256_of, zoo_dir

PACKAGE = "opencv-doc"
MEMBER = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
EVERY = 20
Image = npt.NDArray[np.uint8]


def kept_frames() -> Path:
    """Return where the frames are kept, whether they are there or not."""
    return zoo_dir() / f"street-{SHA256[:8]}-{EVERY}.npz"


def frames() -> list[Image] | None:
    """Return the frames, (576, 768, 3) RGB each, or None where they have not been fetched."""
    if not kept_frames().is_file():
        return None
    with np.load(kept_frames(), allow_pickle=False) as file:
        return list(file["frames"])


def tiles(image: Image) -> list[Image]:
    """Cut the two 576-pixel squares of a frame and three closer ones where people walk."""
    squares = ((0, 0, 576), (0, 192, 576), (100, 0, 300), (100, 234, 300), (100, 468, 300))
    return [np.ascontiguousarray(image[y : y + side, x : x + side]) for y, x, side in squares]


def _download(folder: Path) -> Path:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ModelError(f"{tool} is not installed", hint="this needs Debian; or give the video's path")
    for command in (["apt-get", "download", "-qq", PACKAGE], ["sh", "-c", f"dpkg-deb -x {PACKAGE}_*.deb ."]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise ModelError(f"{' '.join(command)}: {done.stderr.strip()[-200:]}", hint="run apt-get update first")
    return folder / MEMBER


def decode(video: Path) -> npt.NDArray[np.uint8]:
    """Return every twentieth frame of the pinned video."""
    try:
        import av
    except ImportError as error:
        raise ModelError("PyAV is needed to decode the video", hint="python -m pip install av") from error
    if sha256_of(video.read_bytes()) != SHA256:
        raise ModelError(f"{video} is not the pinned video")
    with av.open(str(video)) as container:
        pictures = enumerate(container.decode(video=0))
        return np.stack([picture.to_ndarray(format="rgb24") for at, picture in pictures if at % EVERY == 0])


def main() -> int:
    """Fetch, decode, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?", help="vtest.avi, if it is at hand")
    video = parser.parse_args().video
    try:
        with tempfile.TemporaryDirectory() as folder:
            decoded = decode(video or _download(Path(folder)))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    np.savez_compressed(kept_frames(), frames=decoded)
    print(f"{len(decoded)} frames in {kept_frames()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
