"""Tiny networks for the local detector: each finds the red rectangle in its input, by arithmetic alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OBJECTNESS, CLASS_SCORE = 0.9, 0.6


def _constant(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def red_finder(path: Path, *, width: int, height: int, transposed: bool = False, open_size: bool = False) -> None:
    """Writes an ONNX file. Output [1, 8, 6] with the objectness beside a class score; `transposed`: [1, 5, 8] with the
    class score alone (their product). Two rows hold the same rectangle, the second a pixel beside it and less sure;
    the others are nothing. `open_size`: the file does not tell its input's size.
    """
    columns: Any = np.arange(width, dtype=np.float32).reshape(1, 1, 1, width)
    rows: Any = np.arange(height, dtype=np.float32).reshape(1, 1, height, 1)
    tensors = [
        _constant("redness", np.array([80.0, -80.0, 0.0]).reshape(1, 3, 1, 1)),
        _constant("bias", [-40.0]),
        _constant("right_of", np.broadcast_to(columns + 1, (1, 1, height, width))),
        _constant("left_of", np.broadcast_to(width - columns, (1, 1, height, width))),
        _constant("below", np.broadcast_to(rows + 1, (1, 1, height, width))),
        _constant("above", np.broadcast_to(height - rows, (1, 1, height, width))),
        # (right, left, bottom, top) -> x, y, width, height
        _constant("mix", [[0.5, 0, 1, 0], [-0.5, 0, 1, 0], [0, 0.5, 0, 1], [0, -0.5, 0, 1]]),
        _constant("shift", [[width / 2, height / 2, -width, -height]]),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "redness", "bias"], ["red"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["red"], ["mask"]),
    ]
    for name in ("right_of", "left_of", "below", "above"):
        nodes += [
            helper.make_node("Mul", ["mask", name], [f"{name}_all"]),
            helper.make_node("ReduceMax", [f"{name}_all"], [f"{name}_most"], axes=[2, 3], keepdims=0),
        ]
    nodes += [
        helper.make_node("Concat", ["right_of_most", "left_of_most", "below_most", "above_most"], ["edges"], axis=1),
        helper.make_node("MatMul", ["edges", "mix"], ["mixed"]),
        helper.make_node("Add", ["mixed", "shift"], ["box"]),
    ]
    scores = [[CLASS_SCORE * OBJECTNESS]] if transposed else [[OBJECTNESS, CLASS_SCORE]]
    length = 4 + len(scores[0])
    tensors += [
        _constant("scores", scores),
        _constant("factor", [[1] * 4 + [0.5] * len(scores[0])]),
        _constant("nothing", np.zeros((6, length))),
    ]
    nodes += [
        helper.make_node("Concat", ["box", "scores"], ["sure"], axis=1),
        helper.make_node("Mul", ["sure", "factor"], ["unsure"]),
        helper.make_node("Concat", ["unsure", "sure", "nothing"], ["flat"], axis=0),
    ]
    if transposed:
        nodes.append(helper.make_node("Transpose", ["flat"], ["turned"], perm=[1, 0]))
    tensors.append(numpy_helper.from_array(np.array([1, length, 8] if transposed else [1, 8, length]), "form"))
    nodes.append(helper.make_node("Reshape", ["turned" if transposed else "flat", "form"], ["output"]))
    sides: list[Any] = ["height", "width"] if open_size else [height, width]
    graph = helper.make_graph(
        nodes,
        "red finder",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, length, 8] if transposed else [1, 8, length])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
