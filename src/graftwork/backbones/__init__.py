"""Pretrained networks: their cards, their weights, the layers where they are read, the engines that run them."""
