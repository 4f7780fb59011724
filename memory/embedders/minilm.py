"""all-MiniLM-L6-v2 on ONNX Runtime: 384 numbers for the first 256 tokens of a text."""

from tempfile import NamedTemporaryFile
from typing import BinaryIO

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from memory.embedders import graph
from memory.embedders.weights import Floats, Weights

TOKENS = 256  # that the model was trained to read
CHARACTERS = 4_000  # that 256 tokens do not go beyond but in nonsense, whose end is not read

WORDS = "embeddings.word_embeddings.weight"


class Model:
    """The loaded model. Several threads may use it at once; each works on its own core, without holding the GIL."""

    def __init__(self, weights: BinaryIO, tokenizer: bytes) -> None:
        self._weights = Weights(weights)
        self._places = self._weights["embeddings.position_embeddings.weight"]
        self._places = self._places + self._weights["embeddings.token_type_embeddings.weight"][0]
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)
        self._session = _session(graph.build(self._weights))

    def vector(self, text: str) -> Floats:
        """The mean of the encoded tokens, of length one.

        Texts are encoded one at a time: batches were no faster, take more memory, and share their inputs' scale, so
        that a text's vector would depend on its neighbours.
        """
        readable = text[:CHARACTERS].encode(errors="replace").decode()  # lone surrogates are no text
        tokens = self._tokenizer.encode(readable).ids
        embedded = self._weights.rows(WORDS, tokens) + self._places[: len(tokens)]
        mask = np.ones((1, len(tokens)), np.int32)
        (encoded,) = self._session.run(None, {"embedded": embedded[None], "mask": mask})
        mean = encoded[0].mean(0)
        vector: Floats = mean / np.linalg.norm(mean)
        return vector


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # they keep what the longest text has taken
    # The graph is as it should be: what would be optimised is slower, above all fused normalisations.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # From a file it takes 10 MB less than from bytes, of which the session keeps a copy.
    with NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model)
        file.flush()
        return onnxruntime.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])
