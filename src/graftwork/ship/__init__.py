"""A fitted classifier leaves the house: as a file for other runtimes, complete and proven equal, and with its reasons.

Read ``exported`` for the files; ``explain`` for pictures of the evidence: ``attribution`` finds it in the network's
input, ``overlay`` draws it over the image.
"""
