"""The command line of the stand-in for ais_bench."""

import sys

from ascend_standin.ais_bench import main

sys.exit(main(sys.argv[1:]))
