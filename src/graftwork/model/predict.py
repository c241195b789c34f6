"""Images become predictions: thread-safe, from paths, bytes, PIL images and arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.engines import Engine
from graftwork.codes.compute import averaged, rounded
from graftwork.core.arguments import argument
from graftwork.core.figures import counted, probability, with_interval
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.options import Count, Share
from graftwork.core.shown import Fact, Shown
from graftwork.errors import DataError
from graftwork.images.decoding import prefetched
from graftwork.images.listing import few
from graftwork.images.pixels import pixels
from graftwork.images.views import views
from graftwork.model.novelty import RATE, Novelty
from graftwork.model.pictures import bytes_of, name_of, pictures_of

if TYPE_CHECKING:
    from graftwork.model.pictures import Picture

_Reload = tuple[Callable[..., "Model"], tuple[Any, ...]]
CHUNK = 64
"""Number of images that are decoded and held in memory at a time."""


@dataclasses.dataclass(frozen=True, repr=False)
class Prediction(Shown):
    """The prediction of a model for one image."""

    name: str
    label: str
    """The most probable class."""
    probability: float
    top: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities, best first."""
    p_value: float | None
    """Of the hypothesis that the image is like the training images: the share of these that are at least as far from
    the others; None where there were too few, and for a fine-tuned network."""
    novel: bool | None
    """Whether the image is flagged as unlike the training images; None where ``p_value`` is."""

    def _facts(self) -> tuple[Fact, ...]:
        classes = [Fact(name, probability(value), value) for name, value in self.top]
        novel = [Fact("novelty", f"unlike the training images (p-value {self.p_value:.2g})")] if self.novel else []
        return Fact("", self.name), *classes, *novel


class Model(Shown):
    """A classifier that takes paths, bytes, PIL images, and arrays (h, w) or (h, w, 3).

    Arrays are of uint8; those of one channel also of uint16, int32, float32 or float64, as TIFF files are.

    Made by :func:`graftwork.load`. Several threads may predict at the same time.
    A forked process may use it too. A pickle of it holds the place of its folder, and loads it again.

    Parameters
    ----------
    reload
        A function and its arguments that load the same model in another process.
    about
        Entries of its folder's manifest: how it was chosen and tested, and when it was made.

    Examples
    --------
    >>> model = graftwork.load("runs/photos-001")
    >>> model.probabilities("photos/ant/ant-001.png").shape
    (1, 3)
    >>> [prediction.name for prediction in model.predict("photos/ant/ant-001.png", top=2)]
    ['photos/ant/ant-001.png']
    """

    def __init__(
        self,
        fitted: Fitted,
        novelty: Novelty | None,
        engine: Engine,
        reload: _Reload,
        about: Mapping[str, Any],
    ) -> None:
        self.fitted = fitted
        self.novelty = novelty
        self._engine = engine
        self._reload = reload
        self.about = about

    def __reduce__(self) -> _Reload:
        return self._reload

    def _facts(self) -> tuple[Fact, ...]:
        card, tested = self.fitted.card, self.about.get("test")
        px, aspect = card.preprocess.input_px, card.preprocess.aspect
        facts = [
            Fact("", counted(len(self.classes), "class") + f": {few(self.classes, shown=5)}"),
            Fact("network", card.name),
            Fact("layer", " + ".join(tap.name for tap in self.fitted.taps)),
            Fact("input", f"RGB, {px} x {px} px ({aspect})"),
        ]
        if "chosen" in self.about:
            facts.append(Fact("chosen", self.about["chosen"]))
        if tested is not None:
            score = with_interval(tested["metric"], tested["value"], tested["low"], tested["high"])
            of_another = f" of {tested['belongs_to']}" if self.about["trained_on"] == "all" else ""
            facts.append(Fact(f"test {tested['metric']}", score + of_another))
        return tuple(facts)

    @property
    def engine(self) -> str:
        """What runs the network on this machine, and in which precision.

        Examples
        --------
        >>> graftwork.load("runs/photos-001").engine.split()[0] in ("openvino", "torch")
        True
        """
        return self._engine.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of every probability row.

        Examples
        --------
        >>> graftwork.load("runs/photos-001").classes
        ('ant', 'bee', 'cat')
        """
        return self.fitted.head.classes

    def codes(self, images: Sequence[Picture] | Picture, names: Sequence[str] | None = None) -> NDArray[np.floating]:
        """(n, d) CNN codes under the head; raises DataError naming an image that cannot be read.

        Examples
        --------
        >>> model = graftwork.load("runs/last-layer")
        >>> model.codes(["photos/ant/ant-001.png", "photos/bee/bee-001.png"]).shape
        (2, 1280)
        """
        pictures: Sequence[Picture] = pictures_of(images)
        names = [name_of(image, i) for i, image in enumerate(pictures)] if names is None else names
        chunks = [self._codes(pictures[i : i + CHUNK], names[i : i + CHUNK]) for i in range(0, len(pictures), CHUNK)]
        width = sum(tap.channels for tap in self.fitted.taps)
        return np.concatenate(chunks) if chunks else np.zeros((0, width), self.fitted.code_dtype)

    def probabilities(self, images: Sequence[Picture] | Picture) -> NDArray[np.float32]:
        """(n, k) probability rows.

        Examples
        --------
        >>> rows = graftwork.load("runs/photos-001").probabilities(["photos/ant/ant-001.png", "photos/bee/bee-001.png"])
        >>> rows.shape, bool((abs(rows.sum(axis=1) - 1) < 1e-5).all())
        ((2, 3), True)
        """
        return probabilities(self.fitted, self.codes(images))

    def predict(
        self, images: Sequence[Picture] | Picture, *, top: int = 1, novelty_rate: float = RATE
    ) -> list[Prediction]:
        """Predict the class of each image; raises DataError naming an image that cannot be read.

        Parameters
        ----------
        top
            Number of classes to name.
        novelty_rate
            Share of images like the training images that may be flagged as novel.

        Examples
        --------
        >>> (prediction,) = graftwork.load("runs/photos-001").predict("photos/bee/bee-001.png", top=2)
        >>> prediction.label, len(prediction.top)
        ('bee', 2)
        """
        return list(self.stream(images, top=top, novelty_rate=novelty_rate))

    def stream(
        self,
        images: Iterable[Picture] | Picture,
        *,
        top: int = 1,
        novelty_rate: float = RATE,
        on_error: Callable[[str, DataError], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict images as they come, a few dozen at a time; raises UsageError when an argument is out of range.

        Parameters
        ----------
        on_error
            Called with the name and the error of each image that cannot be read, which is then left out; without it
            the first one raises.

        Examples
        --------
        >>> model = graftwork.load("runs/photos-001")
        >>> for prediction in model.stream(Path("photos/bee").glob("bee-00[01].png")):
        ...     print(prediction.label)
        bee
        bee
        """
        top = argument("top", top, Count)
        novelty_rate = argument("novelty_rate", novelty_rate, Share)
        return self._stream(iter(pictures_of(images)), top, novelty_rate, on_error)

    def decode(self, image: Picture, name: str = "the image") -> NDArray[np.uint8]:
        """(views, px, px, 3) input of the network for one image; several threads may decode at the same time.

        Followed by ``run`` and ``classify`` it is ``predict``, for who has threads and a queue of their own.

        Raises
        ------
        DataError
            When the image cannot be read; it is named ``name``.

        Examples
        --------
        >>> graftwork.load("runs/photos-001").decode("photos/bee/bee-001.png").shape
        (1, 32, 32, 3)
        """
        preprocess, data = self.fitted.card.preprocess, bytes_of(image, name)
        return np.stack([pixels(data, preprocess, view, name) for view in views(self.fitted.views, seed=0)])

    def run(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.floating]:
        """(n, d) CNN codes of images that ``decode`` made ready; several threads may run at the same time.

        Examples
        --------
        >>> model = graftwork.load("runs/last-layer")
        >>> model.run([model.decode("photos/bee/bee-001.png")]).shape
        (1, 1280)
        """
        layers = [tap.name for tap in self.fitted.taps]
        blocks = list(self._engine.stream(view[None] for array in inputs for view in array))
        flat = np.concatenate([np.concatenate([block[layer] for layer in layers], axis=1) for block in blocks])
        by_view = rounded(flat, self.fitted.code_dtype).reshape(len(inputs), -1, flat.shape[1])
        return averaged([by_view[:, view] for view in range(by_view.shape[1])])

    def classify(
        self, codes: NDArray[np.floating], names: Sequence[str], *, top: int = 1, novelty_rate: float = RATE
    ) -> list[Prediction]:
        """Predict the class of each image from its codes (n, d).

        Parameters
        ----------
        names
            Of the images.
        top, novelty_rate
            As in ``predict``.

        Examples
        --------
        >>> model = graftwork.load("runs/photos-001")
        >>> model.classify(model.codes("photos/bee/bee-001.png"), ["mine"])[0].label
        'bee'
        """
        rows = probabilities(self.fitted, codes)
        able = self.novelty is not None and self.novelty.can_flag(novelty_rate)
        p_values = self.novelty.p_values(codes) if able and self.novelty is not None else None
        predictions = []
        for i, (name, row) in enumerate(zip(names, rows, strict=True)):
            best = np.argsort(-row, kind="stable")[:top]
            classes = tuple((self.classes[c], float(row[c])) for c in best)
            p = None if p_values is None else float(p_values[i])
            novel = None if p is None else p <= novelty_rate
            predictions.append(Prediction(name, classes[0][0], classes[0][1], classes, p, novel))
        return predictions

    def _stream(
        self,
        waiting: Iterator[Picture],
        top: int,
        novelty_rate: float,
        on_error: Callable[[str, DataError], None] | None,
    ) -> Iterator[Prediction]:
        number = 0
        while chunk := list(islice(waiting, CHUNK)):
            names = [name_of(image, number + i) for i, image in enumerate(chunk)]
            number += len(chunk)
            arrays = self._decode(chunk, names, on_error)
            readable = [i for i, array in enumerate(arrays) if array is not None]
            if readable:
                decoded = [array for array in arrays if array is not None]
                named = [names[i] for i in readable]
                yield from self.classify(self.run(decoded), named, top=top, novelty_rate=novelty_rate)

    def _codes(self, images: Sequence[Picture], names: Sequence[str]) -> NDArray[np.floating]:
        return self.run([array for array in self._decode(images, names, None) if array is not None])

    def _decode(
        self, images: Sequence[Picture], names: Sequence[str], on_error: Callable[[str, DataError], None] | None
    ) -> list[NDArray[np.uint8] | None]:
        def decode(named: tuple[Picture, str]) -> NDArray[np.uint8] | DataError:
            try:
                return self.decode(*named)
            except DataError as error:
                if on_error is None:
                    raise
                return error

        decoded = list(prefetched(decode, zip(images, names, strict=True)))
        for name, array in zip(names, decoded, strict=True):
            if isinstance(array, DataError) and on_error is not None:
                on_error(name, array)
        return [None if isinstance(array, DataError) else array for array in decoded]
