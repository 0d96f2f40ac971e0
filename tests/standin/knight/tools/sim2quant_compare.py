"""Plays the tool of this name: see ../../modules/knight_standin."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "modules"))
from knight_standin.scripts import sim2quant_compare

if __name__ == "__main__":
    sys.exit(sim2quant_compare(sys.argv[1:]))
