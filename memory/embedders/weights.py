"""Reading a safetensors file without holding it: https://github.com/huggingface/safetensors#format."""

import json
import os
import weakref
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Weights:
    """The float32 tensors of an open file; keeps it open itself, so that one put in its place changes nothing.

    They are read when they are asked for and not mapped: mapped pages would count as this process's memory, and a
    file that is cut short would end it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._name, self._descriptor = file.name, os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        length = int.from_bytes(self._bytes(0, 8), "little")
        self._tensors = json.loads(self._bytes(8, length))
        self._start = 8 + length

    def __getitem__(self, name: str) -> Floats:
        """The whole tensor."""
        begin, end = self._tensors[name]["data_offsets"]
        held = np.frombuffer(self._bytes(self._start + begin, end - begin), "<f4")
        return held.reshape(self._tensors[name]["shape"])

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        """Some rows of a matrix, in that order."""
        begin, width = self._start + self._tensors[name]["data_offsets"][0], self._tensors[name]["shape"][1]
        held = b"".join([self._bytes(begin + number * width * 4, width * 4) for number in numbers])
        return np.frombuffer(held, "<f4").reshape(len(numbers), width)

    def _bytes(self, offset: int, length: int) -> bytes:
        held = os.pread(self._descriptor, length, offset)
        if len(held) < length:
            raise OSError(f"{self._name} ends too early")
        return held
