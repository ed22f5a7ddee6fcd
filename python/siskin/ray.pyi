from os import PathLike
from typing import Any, Literal

__all__ = ["tokenize"]

# `source` and the result without `output` are ray.data.Dataset, which is not named here so that Ray need not be installed.
def tokenize(source: Any, output: str | PathLike[str] | None = None, *,
             format: Literal["shar", "webdataset", "parquet"] = "shar", shard_size: int = 1000,
             dtype: Literal["uint16", "int32", "int64"] = "uint16", model: str = "speech-24k", stages: int | None = None,
             search_width: int = 8, keep_silence: bool = False,
             manifest: Literal["lhotse", "kaldi", "nemo"] | None = None, anew: bool = False, retry_failed: bool = False,
             concurrency: int | tuple[int, int] | None = None, ray_remote_args: dict[str, Any] | None = None) -> Any: ...
