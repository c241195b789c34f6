"""Linear classifiers on codes: arrays in, arrays out.

Read ``solver`` (the objectives), ``cross_validate`` (C along a path, all folds at once), then ``losses``, ``design``,
``descent``, ``temperature`` and ``threads``. Nothing here knows images, networks or files. What must hold: the optimum
of scikit-learn's objective (``tests/laws/test_solver.py``).
"""
