"""Streaming neural speech codec, and its tokens in the layouts of speech models.

Encoder: samples to codes. Decoder: codes to samples. TokenStream: tokens of a model in its layout to samples, as soon as
a frame is complete. All of them stream and release the GIL while they work, and how the input is cut into calls does not
change the output. Codes are arrays [K, T]: K codes per frame (residual stages x groups), T frames.

Corpora: `read_manifest`, `Corpus` and `ShardWriter`; `siskin.audio` reads files, `siskin.ray` runs on many machines.
"""
import importlib.util
import os
from pathlib import Path

from . import _siskin
from ._siskin import (
    Corpus,
    Decoder,
    Encoder,
    Error,
    FeatureDecoder,
    FeatureEncoder,
    ShardWriter,
    Snapshot,
    TokenError,
    TokenStream,
    import_model,
    load,
    pack,
    read_manifest,
    save,
    shard_summary,
    specials,
    unpack,
)

__all__ = ["Corpus", "Decoder", "Encoder", "Error", "FeatureDecoder", "FeatureEncoder", "ShardWriter", "Snapshot",
           "TokenError", "TokenStream", "import_model", "load", "pack", "read_manifest", "save", "shard_summary", "specials",
           "unpack"]
__version__ = _siskin.__version__

_here = Path(__file__).resolve().parent
# The bundles of the wheel lie in share/siskin/bundles.
_siskin.search_near(str(_here / "bin" / "siskin"))


def _runtime_library():
    """The ONNX Runtime of the onnxruntime package, if it is installed."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "capi"
    return next((str(p) for p in sorted(folder.glob("libonnxruntime.so*"))), None)


if not os.environ.get("ORT_DYLIB_PATH"):
    _library = _runtime_library()
    if _library is not None:
        _siskin.use_runtime(_library)
