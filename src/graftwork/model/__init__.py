"""A fitted classifier as a folder that works on another machine, and its use.

Read ``folder`` (what is written: safetensors and JSON, never a pickle), ``load`` (the folder becomes a model, without
torch where its engine was saved), ``pictures`` (what an image may be), ``predict`` (images become predictions, from
several threads) and ``novelty`` (is an image of the kind the model was trained on?). Whatever changes the folder raises
``folder.SCHEMA_VERSION``. What must hold: the model gives the probabilities that were tested, checked with the samples
in the folder when it is loaded.
"""
