"""What is needed of ONNX's file format, a protocol buffer, to write a graph.

The `onnx` package would do it too, and takes 33 MB of disk and 12 MB of memory for it. Numbers of fields are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPERATORS = {"": 17, "com.microsoft": 1}  # the versions of the operator sets that a graph may use
TYPES = {"float32": 1, "int8": 3, "int32": 6}
FLOAT, INT = 1, 2  # kinds of attributes


def node(
    operator: str, inputs: Iterable[str], outputs: Iterable[str], *, domain: str = "", **attributes: float
) -> bytes:
    """An operator of the graph; an input that is left out has an empty name."""
    return b"".join(
        [
            *(_field(1, name) for name in inputs),
            *(_field(2, name) for name in outputs),
            _field(4, operator),
            *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
            _field(7, domain),
        ]
    )


def tensor(name: str, array: NDArray[np.generic]) -> bytes:
    """A constant of the graph."""
    sizes = [_field(1, size) for size in array.shape]
    return b"".join([*sizes, _field(2, TYPES[array.dtype.name]), _field(8, name), _field(9, array.tobytes())])


def value(name: str, kind: str, shape: Sequence[str | int]) -> bytes:
    """An input or an output: its name, its type and its shape, where a name is a size that varies."""
    sizes = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, TYPES[kind]) + _field(2, sizes)))


def model(
    name: str, nodes: Iterable[bytes], tensors: Iterable[bytes], *, inputs: Iterable[bytes], output: bytes
) -> bytes:
    """The whole file."""
    graph = b"".join(
        [
            *(_field(1, each) for each in nodes),
            _field(2, name),
            *(_field(5, each) for each in tensors),
            *(_field(11, each) for each in inputs),
            _field(12, output),
        ]
    )
    versions = [_field(8, _field(1, domain) + _field(2, version)) for domain, version in OPERATORS.items()]
    return b"".join([_field(1, IR_VERSION), _field(7, graph), *versions])


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, INT)
    return _field(1, name) + _field(2, value) + _field(20, FLOAT)


def _field(number: int, held: float | str | bytes) -> bytes:
    """A field of a message: a varint, a float of 32 bits, or bytes with their length."""
    if isinstance(held, int):
        return _varint(number << 3) + _varint(held)
    if isinstance(held, float):
        return _varint(number << 3 | 5) + struct.pack("<f", held)
    body = held.encode() if isinstance(held, str) else held
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # a negative number is sent as its complement
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
