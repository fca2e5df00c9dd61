"""The files that a preset is made of."""

DESCRIPTION, WEIGHTS, CARD, HISTORY = "preset.json", "model.weights.h5", "card.md", "history.csv"
# How many bytes each may have: what comes from elsewhere must not fill a disk.
LONGEST = {DESCRIPTION: 2**22, WEIGHTS: 2**34, CARD: 2**22, HISTORY: 2**26}
FILES = tuple(LONGEST)
