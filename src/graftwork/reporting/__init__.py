"""The report: a run's record as one HTML page, and the model card, without data, torch or network.

Read ``page`` first, which joins ``evidence`` (which images to show), ``words`` (sentences), ``tables`` (figures) and
``charts`` (bokeh) in a template; ``document`` makes one self-contained file of it, and ``card`` the model card.
``layers`` and ``tunings`` arrange candidates for charts and legends alike. Change a sentence in ``words`` or a
template, how a number is written in ``core.figures``, a colour in ``colours`` (its contrast is tested).
"""
