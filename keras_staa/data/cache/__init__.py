"""Frames on disk: computed once, by several processes, and kept."""
