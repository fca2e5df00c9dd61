"""Tables of results as CSV files that are there whole or not at all."""

import csv
import io

from keras_staa import files


def read(path):
    """Return the rows of a file as dictionaries, none if it is not there."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, rows):
    """Write rows, dictionaries with the same keys, in place of what the file holds."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write(path, text.getvalue().encode())
