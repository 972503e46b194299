"""Reads a ``.gitlab-ci.yml`` far enough to run it: a job's scripts, its variables and its artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from tests.ci.shell import expanded, installs, run


class Pipeline(NamedTuple):
    """The jobs of a file, and what holds for all of them."""

    folder: Path
    text: Mapping[str, Any]

    def job(self, name: str, workspace: Path, environment: Mapping[str, str]) -> int:
        """Run the job ``name`` as the runner does, in ``workspace``, and return the status of its script.

        What installs packages of the system is left out: that is for root, on a machine of its own.
        """
        job = self.text[name]
        given = {**self.text.get("variables", {}), **job.get("variables", {})}
        variables = {key: expanded(str(value), environment) for key, value in given.items()}
        everything = {**variables, **environment}
        lines = [*job.get("before_script", ()), *job["script"]]
        script = [line for line in lines if "apt-get" not in line and not installs(line, self.folder)]
        status = run(["bash", "-eo", "pipefail", "-c", "\n".join(script)], workspace, everything)
        run(["bash", "-eo", "pipefail", "-c", "\n".join(job.get("after_script", ()))], workspace, everything)
        return status

    def hand_over(self, name: str, source: Path, target: Path) -> None:
        """Unpack the artifacts of a job in ``source`` into the workspace ``target``, over what is there."""
        for path in self.text[name]["artifacts"]["paths"]:
            if (source / path).exists():
                shutil.copytree(source / path, target / path, dirs_exist_ok=True)


def read(path: Path) -> Pipeline:
    """Return the pipeline in the file ``path``."""
    return Pipeline(path.parent, YAML(typ="safe", pure=True).load(path))
