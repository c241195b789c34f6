"""The story of a run, top to bottom: labelled images become a tested classifier, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from graftwork.clock import Clock, parse_seconds
from graftwork.core.arguments import argument
from graftwork.core.facts import Aspect, Intensity, Metric, Pool, Relu
from graftwork.core.options import (
    DataOptions,
    EngineOption,
    ExtractionOptions,
    FineTuneOptions,
    JudgingOptions,
    Part,
    SplitOptions,
    as_text,
    names_of,
    settings_of,
)
from graftwork.core.plans import Augment, Loss, Normalise
from graftwork.core.record import Run
from graftwork.fit import fit
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.advise import advise, with_tried
from graftwork.steps.backbones import open_backbones
from graftwork.steps.compete import compete, fine_tune_context
from graftwork.steps.int8 import change_of_candidate
from graftwork.steps.output import CLOCK, claimed, run_name
from graftwork.steps.prepare import prepare
from graftwork.steps.projection import project_codes
from graftwork.steps.save import Outcome, save
from graftwork.steps.score import score_held_out, score_nested, score_with_series_grouped
from graftwork.steps.search import candidates_for, costs_of, search
from graftwork.steps.shift import choose_for_target, load_target
from graftwork.steps.time_limit import reserve_extraction, say_that_linear_candidates_alone_are_nested


def train(  # noqa: PLR0915  # the whole story on one page
    data: str | Path,
    *,
    output: str | Path | None = None,
    strategy: Literal["auto", "linear"] = "auto",
    time_limit: str | float | None = "10m",
    backbone: str | Path | Sequence[str | Path] = ("auto",),
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Pool = "average",
    relu: Relu = "auto",
    views: int = 1,
    engine: EngineOption = "auto",
    layer: str = "auto",
    freeze_to: str | None = None,
    scratch: bool = False,
    exhaustive: bool = False,
    repeats: int = 1,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    patience: int | None = None,
    augment: Augment | None = None,
    loss: Loss | Literal["auto"] = "auto",
    metric: Metric = "accuracy",
    normalise: Normalise = "standard",
    class_weight: Literal["auto", "none", "balanced"] = "auto",
    folds: int = 5,
    seed: int = 0,
    tolerance: float = 1.0,
    test: str | Path | float = 0.2,
    split_from: str | Path | None = None,
    shifted: str | Path | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_level: int | None = None,
    group_by: str | None = None,
    final: Part = "develop",
    slim: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Turn labelled images and a pretrained network into a tested classifier.

    Parameters
    ----------
    data
        A folder with one folder per class, a folder that comes split into train and test, a CSV, JSON lines or Parquet
        table, or a saved dataset.
    output
        The run's folder; ``runs/NAME-001`` and so on by default.
    strategy
        ``auto`` tries fine-tunings in addition to linear classifiers, as far as the time allows; ``linear`` trains
        linear classifiers alone. Nested cross-validation tests linear classifiers only.
    time_limit
        Such as ``90s``, ``10m``, ``2h`` or ``none``; the refit and the test are included.
    backbone
        Name of a network of timm or of your zoo, ``torchvision:NAME``, a file, or ``auto`` for the first recommended
        one that is here or can be downloaded; several compete.
    aspect
        How an oblong image becomes square: ``crop``, ``pad`` or ``stretch``; None as the network's card says.
    input_px
        Side of the network's input in pixels; None as the network's card says.
    intensity
        Which range of images of more than 8 bits becomes black to white: that of the ``dataset``, of the ``dtype``, or
        of each ``image``.
    pool
        How a layer with a spatial extent becomes one vector: its ``average`` or ``max``.
    relu
        Whether layers that end in a ReLU give their codes ``before`` or ``after`` it; ``auto`` is after.
    views
        Number of views of an image over which codes are averaged.
    engine
        ``auto`` measures which engine is the fastest of those whose codes agree with float32. ``int8`` quantises the
        network to 8 bits, calibrated on images to develop on, and runs it in OpenVINO; what that changes is measured.
        Fine-tuned networks stay as ``auto`` would have them.
    layer
        Names of layers separated by commas, ``last``, ``all`` for their concatenation, or ``auto``, which tries every
        layer and all of them together.
    freeze_to
        Fine-tune the layers above this one, in place of the default cuts: a layer's name, a number of layers, or a per
        cent of depth (``"50%"``).
    scratch
        Also try random weights.
    exhaustive
        Run every fine-tuning on all folds.
    repeats
        Number of seeds of each fine-tuning, to tell variation between seeds from variation between images.
    epochs, batch_size, lr, layer_decay, augment
        In place of what the recipe says.
    patience
        Stop a training after this number of epochs without a lower log loss on validation images.
    loss
        ``softmax``, ``svm``, or ``auto`` for both.
    metric
        By what candidates are compared: ``accuracy``, ``balanced-accuracy``, ``macro-f1`` or ``log-loss``.
    normalise
        ``standard`` gives every dimension of the codes mean 0 and variance 1, ``l2`` every code length 1.
    class_weight
        ``balanced`` lets classes weigh the same in fitting; ``auto`` does so for balanced accuracy.
    folds, seed
        Number of folds of the cross-validation, and of its random numbers.
    tolerance
        By how many points (hundredths of a nat for log loss) a cheaper candidate may be worse than the best.
    test
        A share of the images, a folder or table of its own, or ``cv`` for nested cross-validation.
    split_from
        Folder of an earlier run: every image that it had keeps its side of the split.
    shifted
        Images of the target domain, where the model will be used, if they look different there. Where they have labels,
        half of them help to choose and half test.
    image_column, label_column
        Columns of a table with the images and the labels, where their names are not recognised.
    label_level
        Which folder on the way from ``data`` to an image is its class, counted from 1.
    group_by
        A column of the table, a regular expression whose first capture in an image's name is its group, or ``series``
        for the likely ones. Images of one group stay on one side of every split.
    final
        ``all`` fits the model again on every image after the test; the test score belongs to the model before.
    slim
        Leave the network's own weights out of the model folder.
    listener
        Hears what happens. By default a progress bar in a terminal or a notebook, and nothing elsewhere;
        ``graftwork.Listener()`` shows nothing.

    Returns
    -------
    The run's record; its folder holds the model and ``report.html``.

    Raises
    ------
    GraftError
        When the images, the network, the arguments or the disk do not allow it; the message says what to do.
    Interrupted
        After Ctrl-C: what was computed is in the run's folder, nothing was tested, and the same call goes on.

    Examples
    --------
    >>> run = train("photos", strategy="linear", input_px=32)
    >>> run.test.score.value > 0.5
    True
    >>> run.classes
    ('ant', 'bee', 'cat')
    """
    data_options = DataOptions(
        image_column=image_column, label_column=label_column, label_level=label_level, group_by=group_by
    )
    split = SplitOptions(test=as_text(test), folds=folds, seed=seed, split_from=as_text(split_from))
    extraction = ExtractionOptions(
        backbone=names_of(backbone),
        aspect=aspect, input_px=input_px, intensity=intensity, pool=pool, relu=relu, views=views,
        engine=engine,
    )  # fmt: skip
    judging = JudgingOptions(
        layer=layer, loss=loss, normalise=normalise, metric=metric, class_weight=class_weight, tolerance=tolerance
    )
    tuning = FineTuneOptions(
        strategy=strategy, time_limit=time_limit, freeze_to=freeze_to, scratch=scratch, exhaustive=exhaustive,
        repeats=repeats, epochs=epochs, batch_size=batch_size, lr=lr, layer_decay=layer_decay, patience=patience,
        augment=augment,
    )  # fmt: skip
    final = argument("final", final, Part)
    settings = settings_of(
        data, data_options, split, extraction, judging, tuning, shifted=as_text(shifted), final=final, slim=slim
    )
    stages, limit_seconds = Stages(listener), parse_seconds(time_limit)
    listener = stages.listener
    with claimed(output, run_name(data), settings) as folder:
        clock = Clock(limit_seconds, folder / CLOCK)
        with stages.stage("images"):
            images = prepare(data, split, data_options, input_px=input_px, listener=listener)
            target = load_target(shifted, images, split, data_options, listener=listener)
            task = images.task(judging)
        with stages.stage("backbone"):
            backbones = open_backbones(
                extraction, images.develop, images.intensity_range, listener, layers=judging.layer
            )
            candidates = candidates_for(backbones.cards, extraction, judging)
            context = fine_tune_context(
                images, task, backbones, tuning, folder, any_input=input_px is None, n_refits=2 if final == "all" else 1
            )
            backbones = backbones.with_activations(context.activations)
        with stages.stage("codes"):
            backbones.extract_for(candidates)
        clock.save()
        with stages.stage("candidates"):
            costs = costs_of(candidates, backbones.cards)
            result = search(
                candidates, backbones.codes, task, costs=costs, features=images.features,
                folder=context.folder / "linear", listener=listener,
            )  # fmt: skip
            findings = score_with_series_grouped(result, backbones, images, task)
        clock.save()
        with stages.stage("similarity"):
            advice = advise(
                result, task, backbones, images.develop, images.intensity_range, candidates=context.candidates
            )
        if strategy == "auto" and test == "cv":
            say_that_linear_candidates_alone_are_nested(task, backbones, context, clock)
        elif strategy == "auto":
            with stages.stage("fine-tuning"):
                to_extract = len(images.split.test) + (target.n_extractions if target else 0)
                reserve_extraction(clock, backbones, len(images.develop) + to_extract)
                result = compete(result, task, backbones, tuning, context, clock, advice=advice, to_extract=to_extract)
                advice = with_tried(advice, result, task, backbones)
        shift = None
        if target is not None:
            with stages.stage("target domain"):
                result, shift = choose_for_target(result, task, backbones, target, context)
        with stages.stage("fit"):
            chosen = result.chosen
            fitted = fit(chosen, backbones.codes(chosen.candidate), task, context)
            network = backbones.of(chosen.candidate).with_fitted(fitted)
            int8 = change_of_candidate(chosen, task, backbones)
        with stages.stage("test"):
            if test == "cv":
                score = score_nested(candidates, backbones, images, task)
            else:
                score = score_held_out(fitted, network, images, task)
        with stages.stage("projection"):
            # of a network that was tuned, codes of one view are enough to look at
            codes = network.with_views(chosen.candidate.views_before).codes(images.develop, listener)
            projection = project_codes(codes.of(chosen.candidate.taps), images.split.develop, seed=seed)
        with stages.stage("save"):
            outcome = Outcome(
                images, task, backbones, result, advice, context, fitted, network, codes, score, projection, findings,
                shift, int8,
            )  # fmt: skip
            return save(outcome, folder, settings, stages=stages)
