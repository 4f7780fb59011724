"""all-MiniLM-L6-v2 as its papers have it, in plain float32 arithmetic: what the shipped model is held against."""

import math

import numpy as np

HEADS, LAYERS = 12, 6
_erf = np.vectorize(math.erf, otypes=[np.float32])


def vector(weights, tokens):
    """The mean of the tokens' last states, of length one."""
    table = weights.rows("embeddings.word_embeddings.weight", tokens)
    places = weights["embeddings.position_embeddings.weight"][: len(tokens)]
    x = _norm(weights, "embeddings.LayerNorm", table + places + weights["embeddings.token_type_embeddings.weight"][0])
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        attended = _linear(weights, f"{layer}.attention.output.dense", _attention(weights, layer, x))
        x = _norm(weights, f"{layer}.attention.output.LayerNorm", x + attended)
        inner = _linear(weights, f"{layer}.intermediate.dense", x)
        inner = inner * (1 + _erf(inner / math.sqrt(2))) / 2
        x = _norm(weights, f"{layer}.output.LayerNorm", x + _linear(weights, f"{layer}.output.dense", inner))
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def _attention(weights, layer, x):
    query, key, value = (
        np.stack(np.split(_linear(weights, f"{layer}.attention.self.{part}", x), HEADS, axis=1))
        for part in ("query", "key", "value")
    )
    scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1]))
    return np.concatenate(scores / scores.sum(-1, keepdims=True) @ value, axis=1)


def _linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights, name, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
