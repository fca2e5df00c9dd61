"""`python -m keras_staa`."""

import sys

from keras_staa.cli import main

sys.exit(main())
