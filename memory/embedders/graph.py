"""The encoder of all-MiniLM-L6-v2, a BERT of six layers, as an ONNX graph with weights of one byte.

Each matrix keeps a scale for each of its columns, and each input gets its own as it comes: nothing has to be
calibrated. The words' table is not in it: rows of it are read from the file where they are needed.
"""

import numpy as np

from memory.embedders import onnxfile
from memory.embedders.weights import Floats, Weights

LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
MICROSOFT = "com.microsoft"


def build(weights: Weights) -> bytes:
    """The graph: from `embedded`, batch × tokens × 384, and the mask of its tokens to as many `encoded`."""
    graph = _Graph(weights)
    x = graph.norm("embedded", "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        attended = graph.linear(graph.attention(x, layer), f"{layer}.attention.output.dense")
        x = graph.norm(graph.add(attended, x), f"{layer}.attention.output.LayerNorm")
        inner = graph.op("Gelu", [graph.linear(x, f"{layer}.intermediate.dense")], domain=MICROSOFT)
        x = graph.norm(graph.add(graph.linear(inner, f"{layer}.output.dense"), x), f"{layer}.output.LayerNorm")
    shape = ("batch", "tokens", WIDTH)
    inputs = [onnxfile.value("embedded", "float32", shape), onnxfile.value("mask", "int32", shape[:2])]
    return onnxfile.model(
        "minilm", graph.nodes, graph.tensors, inputs=inputs, output=onnxfile.value(x, "float32", shape)
    )


class _Graph:
    """Nodes and constants as they are added; each method gives the name of what it computes."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def op(self, operator: str, inputs: list[str], *, domain: str = "", outputs: int = 1, **attributes: float) -> str:
        """A node; where it has several outputs, they are called name, name.1, name.2."""
        name = f"{operator}{len(self.nodes)}"
        names = [name, *(f"{name}.{number}" for number in range(1, outputs))]
        self.nodes.append(onnxfile.node(operator, inputs, names, domain=domain, **attributes))
        return name

    def constant(self, array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> str:
        name = f"constant{len(self.tensors)}"
        self.tensors.append(onnxfile.tensor(name, array))
        return name

    def add(self, one: str, other: str) -> str:
        return self.op("Add", [one, other])

    def norm(self, x: str, name: str) -> str:
        """LayerNormalization. ONNX Runtime's own SkipLayerNormalization takes five times as long as Add and this."""
        scale, bias = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.op("LayerNormalization", [x, scale, bias], axis=-1, epsilon=EPSILON)

    def linear(self, x: str, name: str) -> str:
        """x · weightᵀ + bias, x being quantised as it comes."""
        matrix, scale = self._quantised(self.weights[f"{name}.weight"])
        bias = self.constant(self.weights[f"{name}.bias"])
        return self.op("DynamicQuantizeMatMul", [x, matrix, scale, "", bias], domain=MICROSOFT)

    def attention(self, x: str, layer: str) -> str:
        """Self-attention, its three projections in one matrix."""
        parts = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        matrix, scale = self._quantised(np.concatenate([self.weights[f"{part}.weight"] for part in parts]))
        bias = self.constant(np.concatenate([self.weights[f"{part}.bias"] for part in parts]))
        quantised = self.op("DynamicQuantizeLinear", [x], outputs=3)
        zeros = self.constant(np.zeros(3 * WIDTH, np.int8))
        inputs = [quantised, matrix, bias, f"{quantised}.1", scale, "mask", f"{quantised}.2", zeros]
        return self.op("QAttention", inputs, domain=MICROSOFT, num_heads=HEADS)

    def _quantised(self, matrix: Floats) -> tuple[str, str]:
        """The matrix, transposed, in whole numbers from -127 to 127, and the scale of each of its columns."""
        scale = np.maximum(matrix.max(1), -matrix.min(1)) / np.float32(127)
        whole = np.rint(matrix / scale[:, None]).astype(np.int8)
        return self.constant(np.ascontiguousarray(whole.T)), self.constant(scale)
