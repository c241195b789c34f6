"""The steps of a run, which ``verbs`` put together; ``verbs/train.py`` shows their order.

Read ``prepare`` (images become a split and a task), ``backbones`` (networks that give codes), ``search`` (linear
candidates, judged), then ``compete`` (fine-tunings in addition), ``shift``, ``score`` and ``save``; ``ledger``,
``output`` and ``projection`` are small and stand alone. A step takes records, returns a record and reports to a
listener alone. Add a step here, never a verb; what a user can decide is in ``core/options.py``.
"""
