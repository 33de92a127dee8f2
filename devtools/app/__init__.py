"""One module per verb that users type, and the wiring they share."""

import sys

# invoke keeps Python from writing bytecode, so that every command would compile all of our modules anew: a quarter of a
# second. What the interpreter was told by its user (-B, PYTHONDONTWRITEBYTECODE) holds.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
