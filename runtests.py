#!/usr/bin/env python
"""Run the tests of sample_project: ``python runtests.py --with-xunit --with-cov --keepdb``."""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent / "sample_project"

if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sample_project.settings")
    from testkit.cli import main

    sys.exit(main(default_labels=[str(PROJECT)]))
