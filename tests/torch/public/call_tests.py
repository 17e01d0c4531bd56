"""Call every test function of a file, with the working directory on the path."""

import runpy
import sys

sys.path.insert(0, "")
for name, function in runpy.run_path(sys.argv[1]).items():
    if name.startswith("test_"):
        function()
