#!/bin/sh
# class_weight="balanced" with sample_weight is two different models in scikit-learn, depending on the estimator.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6; Linux x86-64, Python 3.11.
# Every docstring gives one formula, n_samples / (n_classes * np.bincount(y)), and LogisticRegression's adds that these
# weights "will be multiplied with sample_weight". Guess: so do all. Seen, with 100 rows of class 0 that weigh 9 each
# and 300 rows of class 1 that weigh 1:
#   LogisticRegression, LinearSVC, RandomForestClassifier, ExtraTreesClassifier: counts are of weights (900 and 300), so
#     multiplying a whole class's sample weights changes nothing: it is taken back
#   RidgeClassifier, SGDClassifier, SVC, DecisionTreeClassifier, HistGradientBoostingClassifier: counts are of rows (100
#     and 300), as documented, so the weights of both kinds multiply: class 0 counts 27 times as much a row
# So who weighs images (by label quality, by sampling rate) and replaces a logistic regression by an SVM, or a forest by
# its tree, sees class 0 in 56 to 100 % of the images instead of 36 %. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

rng = np.random.default_rng(0)
y = np.repeat([0, 1], [100, 300])
X = rng.normal(size=(400, 3)) + 0.8 * y[:, None]
even, uneven = np.ones(400), np.where(y == 0, 9.0, 1.0)
weights_counted = (
    LogisticRegression(),
    LinearSVC(),
    RandomForestClassifier(min_samples_leaf=20, random_state=0),
    ExtraTreesClassifier(min_samples_leaf=20, random_state=0),
)
rows_counted = (
    RidgeClassifier(),
    SGDClassifier(loss="log_loss", alpha=0.1, random_state=0),
    SVC(kernel="linear"),
    DecisionTreeClassifier(max_depth=3, random_state=0),
    HistGradientBoostingClassifier(max_iter=20),
)
for estimator in weights_counted + rows_counted:
    estimator.set_params(class_weight="balanced")
    before, after = (np.mean(estimator.fit(X, y, sample_weight=weight).predict(X) == 0) for weight in (even, uneven))
    print(f"{type(estimator).__name__}: {before:.0%} of the rows are class 0, {after:.0%} when its rows weigh 9")
    taken_back = abs(after - before) < 0.02
    assert taken_back == (estimator in weights_counted), "scikit-learn behaves differently now"
    assert taken_back or after - before > 0.2, "scikit-learn behaves differently now"
PYTHON
