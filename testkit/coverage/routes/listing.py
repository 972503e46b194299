"""Prints the endpoints of the project in the current folder: run as a script, with the import path as JSON.

testkit is loaded first, from where this file lies, since the project's import path may have another state of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[3])
    from testkit.coverage.routes.standing import endpoints_of
    from testkit.endpoints.routes import all_routes

    sys.path[:] = json.loads(sys.argv[1])
    sys.argv = ["manage.py", "test"]  # settings may look for the word
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    import django
    from django.conf import settings

    django.setup()
    keys = [endpoint.key for endpoint in endpoints_of(all_routes())]
    urlconf = sys.modules.get(getattr(settings, "ROOT_URLCONF", None) or "")
    print()
    print(json.dumps({"urlconf": getattr(urlconf, "__file__", None), "endpoints": keys}))
