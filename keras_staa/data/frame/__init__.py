"""Batches of frames for `fit`, and layers that augment them."""
