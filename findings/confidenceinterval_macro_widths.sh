#!/bin/sh
# The intervals that `confidenceinterval` gives by default for macro precision, recall and F1 have wrong widths.
#
# Versions: confidenceinterval 1.0.5, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6; Linux x86-64, Python 3.11.
# Its default method is the delta method after Takahashi et al., which is exact for many images. Guess: for 2,000 images
# its standard errors are those of the delta method, done here with numerical derivatives, and 95 % intervals hold the
# truth in 95 % of 400 simulated test sets. Seen, for three classes (60, 30 and 10 % of the images | as many of each):
#                      standard error, of the right one    intervals that hold the truth
#   macro precision    0.80 | 0.90                         86 % | 92 %
#   macro recall       0.94 | 0.89                         94 % | 92 %
#   macro F1           1.22 | 1.51                         98 % | 100 %
#   accuracy           1.00 | 1.00                         96 % | 94 %
# Its source takes p * p.transpose() of a vector p, which is p squared, for the outer product. So a difference in macro
# precision looks significant that is not, and one in macro F1 must be much larger than needed. method="bootstrap_bca"
# avoids it. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet confidenceinterval==1.0.5 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import confidenceinterval
import numpy as np

PREDICTED_GIVEN_TRUE = np.array([[0.85, 0.10, 0.05], [0.20, 0.60, 0.20], [0.05, 0.25, 0.70]])
N = 2000


def scores(table):
    """Macro precision, recall and F1, and accuracy, of a table of true by predicted classes."""
    hits = np.diag(table)
    precision, recall = hits / table.sum(axis=0), hits / table.sum(axis=1)
    f1 = 2 * hits / (table.sum(axis=0) + table.sum(axis=1))
    return np.array([precision.mean(), recall.mean(), f1.mean(), hits.sum() / table.sum()])


def delta_standard_errors(table):
    """Of the scores of N images that fall into the cells of a table of probabilities."""
    p = table.ravel()
    steps = 1e-6 * np.eye(p.size)
    slopes = [(scores((p + step).reshape(3, 3)) - scores((p - step).reshape(3, 3))) / 2e-6 for step in steps]
    covariance = np.diag(p) - np.outer(p, p)
    return np.sqrt(np.einsum("is,ij,js->s", slopes, covariance, slopes) / N)


def intervals(table):
    """(4, 2) intervals of the package for a table of counts."""
    true, predicted = (np.repeat(place.ravel(), table.ravel()).tolist() for place in np.indices(table.shape))
    return np.array(
        [
            confidenceinterval.precision_score(true, predicted, average="macro")[1],
            confidenceinterval.recall_score(true, predicted, average="macro")[1],
            confidenceinterval.f1_score(true, predicted, average="macro")[1],
            confidenceinterval.accuracy_score(true, predicted)[1],
        ]
    )


names = ("macro precision", "macro recall", "macro F1", "accuracy")
expected = {(0.6, 0.3, 0.1): (0.80, 0.94, 1.22, 1.0), (1 / 3, 1 / 3, 1 / 3): (0.90, 0.89, 1.51, 1.0)}
for shares, ratios in expected.items():
    table = np.array(shares)[:, None] * PREDICTED_GIVEN_TRUE
    right = delta_standard_errors(table)
    rng = np.random.default_rng(0)
    samples = [rng.multinomial(N, table.ravel()).reshape(3, 3) for _ in range(400)]
    spread = np.std([scores(sample) for sample in samples], axis=0)
    given = np.array([intervals(sample) for sample in samples])
    held = ((given[..., 0] <= scores(table)) & (scores(table) <= given[..., 1])).mean(axis=0)
    seen = (given[..., 1] - given[..., 0]).mean(axis=0) / (2 * 1.959964) / right
    for row in zip(names, spread / right, seen, held, strict=True):
        print("{}: simulated {:.2f}, package {:.2f} of the delta method's error; truth held in {:.0%}".format(*row))
    assert np.all(np.abs(spread / right - 1) < 0.1), "the delta method must agree with the simulation"
    assert np.all(np.abs(seen - ratios) < 0.02), "confidenceinterval behaves differently now"
PYTHON
