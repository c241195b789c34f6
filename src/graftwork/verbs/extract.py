"""CNN codes of any layers, written to a file."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.cards import layer_names
from graftwork.codes.extract import LayerCodes
from graftwork.core.arguments import argument
from graftwork.core.facts import Aspect, Dtype, Intensity, Pool, Relu
from graftwork.core.figures import counted
from graftwork.core.findings import Finding, findings_in_short
from graftwork.core.options import DataOptions, ExtractionOptions, Layers, as_text
from graftwork.core.shown import Fact, Shown
from graftwork.errors import UsageError
from graftwork.files import whole_file
from graftwork.images.imageset import ImageSet
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.backbones import open_backbone
from graftwork.steps.prepare import check_images

ROWS_AT_A_TIME = 4096


@dataclasses.dataclass(frozen=True, repr=False)
class ExtractedCodes(Shown):
    """The file that was written, and findings about the images."""

    path: Path
    images: int
    """Whose codes the file holds."""
    findings: tuple[Finding, ...]
    """Unreadable images, whose codes the file lacks, among them."""

    def _facts(self) -> tuple[Fact, ...]:
        return (
            Fact("", counted(self.images, "image")),
            Fact("file", str(self.path)),
            Fact("findings", findings_in_short(self.findings)),
        )


def extract(
    data: str | Path,
    *,
    output: str | Path,
    backbone: str | Path = "auto",
    layers: str = "auto",
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Pool = "average",
    relu: Relu = "auto",
    views: int = 1,
    image_column: str | None = None,
    label_column: str | None = None,
    label_level: int | None = None,
    dtype: Dtype = "float16",
    listener: Listener | None = None,
) -> ExtractedCodes:
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

    Other parameters are those of ``train``.

    Raises
    ------
    GraftError
        As ``train``.

    Examples
    --------
    >>> extract("photos", output="codes.npz", layers="last", input_px=32).images
    45
    """
    target = Path(output)
    if target.suffix not in (".parquet", ".npz"):
        raise UsageError(f"-o must end in .parquet or .npz, got {target.name}; name the file so")
    data_options = DataOptions(image_column=image_column, label_column=label_column, label_level=label_level)
    layers, dtype = argument("layers", layers, Layers), argument("dtype", dtype, Dtype)
    options = ExtractionOptions(
        backbone=(as_text(backbone),), aspect=aspect, input_px=input_px, intensity=intensity,
        pool=pool, relu=relu, views=views,
    )  # fmt: skip
    stages = Stages(listener)
    with stages.stage("images"):
        checked = check_images(data, data_options, input_px=input_px, listener=stages.listener)
    with stages.stage("backbone"):
        network = open_backbone(
            options.backbone[0],
            options,
            checked.images,
            layers=layers,
            dtype=dtype,
            intensity_range=checked.intensity_range,
            listener=stages.listener,
        )
        names = layer_names(network.card, layers)
    with stages.stage("codes"):
        codes = network.codes(checked.images, stages.listener)
    with stages.stage("write"), whole_file(target) as part:
        (_write_parquet if target.suffix == ".parquet" else _write_npz)(part, checked.images, codes, names)
    return ExtractedCodes(target, len(checked.images), (*checked.findings, *network.findings))


def _labels(images: ImageSet) -> list[str | None]:
    return [images.classes[label] if label >= 0 else None for label in images.labels]


def _write_npz(path: Path, images: ImageSet, codes: LayerCodes, layers: Sequence[str]) -> None:
    """Write one layer after the other and some thousand rows at a time, as ``np.savez`` would write them whole."""
    labels = np.array([label or "" for label in _labels(images)])
    with zipfile.ZipFile(path, "w") as archive:
        _write_array(archive, "image", len(images), iter([np.array(images.names)]))
        _write_array(archive, "label", len(images), iter([labels]))
        for layer in layers:
            blocks = (codes.take(rows).of([layer]) for rows in _blocks(len(images)))
            _write_array(archive, layer, len(images), blocks)


def _write_array(archive: zipfile.ZipFile, name: str, rows: int, blocks: Iterator[NDArray[np.generic]]) -> None:
    """Write an array that comes in blocks of rows."""
    first = next(blocks)
    header = np.lib.format.header_data_from_array_1_0(first)
    header.update(shape=(rows, *first.shape[1:]), fortran_order=False)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        file.write(first.tobytes())
        for block in blocks:
            file.write(block.tobytes())


def _blocks(n: int) -> Iterator[NDArray[np.intp]]:
    """Rows of n images, some thousand at a time."""
    for begin in range(0, n, ROWS_AT_A_TIME):
        yield np.arange(begin, min(begin + ROWS_AT_A_TIME, n))


def _write_parquet(path: Path, images: ImageSet, codes: LayerCodes, layers: Sequence[str]) -> None:
    """Write some thousand rows at a time, so that memory stays bounded for any number of images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = _labels(images)
    writer: pq.ParquetWriter | None = None
    try:
        for rows in _blocks(len(images)):
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
