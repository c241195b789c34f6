"""Fine-tuning: a network cut at a layer, its learning rates, its batches, one training loop.

Read ``fold`` (one fold from the linear model to margins), ``tune`` (one training at every alpha), ``network`` (what is
trained), ``loop`` (the loop), then ``pretrained``, ``cut``, ``sources``, ``learning_rates``, ``batchnorm``, ``folding``
and ``forecast``. ``engine`` chooses the precision, and the paths of gradients in ``depthwise``, by measuring
(``timing``). A new recipe needs nothing here (``core/recipes.py``). What must hold: frozen means frozen to the bit, and
a killed training goes on as if it had not been killed.
"""
