"""When and how: similarity and size are measured, the rule of thumb and the forecast of what each strategy gains.

Read ``similarity.py`` and ``learning_curve.py`` first (they measure), then ``core/advice.py`` and ``core/gains.py``
(the rule and the forecast: records and pure functions, which judge). ``sources.py`` reads what the package brings: the
profile of the source that the embedded default was trained on, the ladder of reference sets, and the coefficients of
the forecast.
"""
