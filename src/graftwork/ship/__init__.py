"""A fitted classifier leaves the house: why it says what it says, and how others run it.

Read ``explain`` for pictures of the evidence: ``attribution`` finds it in the network's input, ``overlay`` draws it
over the image.
"""
