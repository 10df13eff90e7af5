"""The constant part of DRAM: weights, biases, multipliers, tables, in the order in which they are loaded."""

import numpy as np
import numpy.typing as npt

ALIGN = 128


class Image:
    """Grows by blobs; an equal blob is stored once."""

    def __init__(self) -> None:
        self._blobs: list[npt.NDArray[np.uint8]] = []
        self._seen: dict[bytes, int] = {}
        self.n_bytes = 0

    def add(self, data: npt.NDArray[np.uint8], align: int = ALIGN) -> int:
        """Append `data` and return its offset."""
        key = data.tobytes() if data.size <= 4096 else b""
        if key and key in self._seen and self._seen[key] % align == 0:
            return self._seen[key]
        pad = -self.n_bytes % align
        if pad:
            self._blobs.append(np.zeros(pad, np.uint8))
        at = self.n_bytes + pad
        self._blobs.append(data)
        self.n_bytes = at + data.size
        if key:
            self._seen[key] = at
        return at

    def array(self) -> npt.NDArray[np.uint8]:
        """Return all bytes."""
        return np.concatenate(self._blobs) if self._blobs else np.zeros(0, np.uint8)
