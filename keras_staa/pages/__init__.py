"""A page of HTML for a trained network: what it is, what it costs and what it looks at."""

from keras_staa.pages.findings import Findings, look_at
from keras_staa.pages.writing import write_gallery, write_page

__all__ = ["Findings", "look_at", "write_gallery", "write_page"]
