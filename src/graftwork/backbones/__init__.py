"""Pretrained networks: their cards, their weights, the layers whose codes are taken, the engines that run them.

Read ``catalogue`` (a name or a path becomes a card), ``weights`` (where its weights are; checked before use), ``load``
(a card becomes a network), ``forward_pass``, ``taps`` and ``graph`` (its layers), then ``engines`` (which engine is
fastest here) with ``torch_engine`` and ``openvino_engine``. Networks that others publish come through ``places``, large
files through ``download``, which waits as ``patience`` says. A new backbone is one table in ``cards.toml`` and no code.
What must hold: every engine gives the reference's codes (``tests/laws/test_engines.py``), and no tensor is left unset
in silence.
"""
