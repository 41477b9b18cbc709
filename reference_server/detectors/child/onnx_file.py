"""The size of an ONNX model's input, read from the file (OpenCV does not tell).

An ONNX file is a protobuf message; the fields on the way are ModelProto.graph = 7, GraphProto.initializer = 5 (its
name = 8), GraphProto.input = 11, ValueInfoProto.name = 1 and .type = 2, TypeProto.tensor_type = 1, Tensor.shape = 2,
TensorShapeProto.dim = 1, Dimension.dim_value = 1 (onnx.proto, protobuf encoding).
"""

from __future__ import annotations

from collections.abc import Iterator


class NotOnnx(Exception):
    """The file is no ONNX model."""


def input_size(model: bytes | memoryview) -> tuple[int, int] | None:
    """(width, height) of the first input, where it is [batch, channels, height, width]; None where the model leaves
    it open. Raises NotOnnx."""
    for graph in _messages(model, 7):
        weights = {bytes(name) for tensor in _messages(graph, 5) for name in _messages(tensor, 8)}
        for wanted in _messages(graph, 11):
            if {bytes(name) for name in _messages(wanted, 1)} & weights:
                continue  # old files list their weights as inputs, too
            shape = [
                next((value for number, value in _fields(dimension) if number == 1 and isinstance(value, int)), 0)
                for kind in _messages(wanted, 2)
                for tensor in _messages(kind, 1)
                for dimensions in _messages(tensor, 2)
                for dimension in _messages(dimensions, 1)
            ]
            return (shape[3], shape[2]) if len(shape) == 4 and shape[2] > 0 and shape[3] > 0 else None
    raise NotOnnx("it has no graph with an input")


def _messages(data: bytes | memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    view = memoryview(data)
    position = 0
    while position < len(view):
        tag, position = _varint(view, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(view, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(view, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise NotOnnx("it is no protobuf message")
        if position + length > len(view):
            raise NotOnnx("it is cut off")
        yield tag >> 3, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise NotOnnx("it is cut off")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise NotOnnx("it is no protobuf message")
