"""CNN codes of any layers, written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from graftwork.backbones.catalogue import layer_names
from graftwork.codes.extract import Dtype, LayerCodes
from graftwork.core.facts import Aspect, Intensity, Relu
from graftwork.errors import UsageError
from graftwork.files import whole_file
from graftwork.images.imageset import ImageSet
from graftwork.verbs.listener import Listener, Stages
from graftwork.verbs.prepare import look_and_check
from graftwork.verbs.reading import Asked, open_backbone

ROWS_AT_A_TIME = 4096


def extract(
    data: str | Path,
    *,
    output: str | Path,
    backbone: str = "auto",
    layers: str = "auto",
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Literal["average", "max"] = "average",
    relu: Relu = "auto",
    views: int = 1,
    dtype: Dtype = "float16",
    listener: Listener | None = None,
) -> Path:
    """Write the codes of images at layers, from one forward pass each; what the store holds is not computed again.

    Parameters
    ----------
    output
        ``FILE.parquet`` (columns ``image``, ``label``, and a list of numbers per layer) or ``FILE.npz`` (the same
        as arrays, codes of shape (n, d)).
    layers
        Names separated by commas, or ``last``, or ``auto`` for all that the card lists.
    dtype
        Precision on disk.

    Raises
    ------
    GraftError
        As ``train``.
    """
    target = Path(output)
    if target.suffix not in (".parquet", ".npz"):
        raise UsageError(f"-o must end in .parquet or .npz, got {target.name}; name the file so")
    stages = Stages(listener or Listener())
    with stages.stage("images"):
        looked = look_and_check(data, listener=stages.listener)
    with stages.stage("backbone"):
        asked = Asked(backbone, aspect, input_px, intensity, pool, relu, views, dtype)
        opened = open_backbone(asked, looked.images, intensity_range=looked.intensity_range, listener=stages.listener)
        names = layer_names(opened.reading.card, layers)
    with stages.stage("codes"):
        codes = opened.codes(looked.images, stages.listener.progress)
    with stages.stage("write"), whole_file(target) as part:
        (_write_parquet if target.suffix == ".parquet" else _write_npz)(part, looked.images, codes, names)
    return target


def _labels(images: ImageSet) -> list[str | None]:
    return [images.classes[label] if label >= 0 else None for label in images.labels]


def _write_npz(path: Path, images: ImageSet, codes: LayerCodes, layers: Sequence[str]) -> None:
    labels = np.array([label or "" for label in _labels(images)])
    with path.open("wb") as file:
        arrays = {"image": np.array(images.names), "label": labels, **{layer: codes.of([layer]) for layer in layers}}
        np.savez(file, allow_pickle=False, **arrays)


def _write_parquet(path: Path, images: ImageSet, codes: LayerCodes, layers: Sequence[str]) -> None:
    """Write some thousand rows at a time, so that memory stays bounded for any number of images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = _labels(images)
    writer: pq.ParquetWriter | None = None
    try:
        for begin in range(0, len(images), ROWS_AT_A_TIME):
            rows = np.arange(begin, min(begin + ROWS_AT_A_TIME, len(images)))
            part = codes.take(rows)
            columns = {"image": pa.array([images.names[i] for i in rows])}
            columns["label"] = pa.array([labels[i] for i in rows], pa.string())
            for layer in layers:
                values = part.of([layer])
                columns[layer] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
