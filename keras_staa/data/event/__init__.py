"""Recordings of events: where they are, their splits, and the frames that are made of them."""
