"""What GitHub's runner does with the log of a step, and with the steps of an action: enough of it to test both.

The rules are those of github.com/actions/runner: ``ActionCommand.TryParseV2`` and ``TryParse``, and ``ActionCommandManager``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from tests.projects import clean_environment

_REGISTERED = {
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher"),
    *("save-state", "set-env", "set-output", "stop-commands", "warning"),
}
_V2 = re.compile(r"\s*::([^\s:]+)(?: (.*?))?::(.*)", re.DOTALL)
_V1 = re.compile(r"##\[([^\s\]]+)(?: ([^\]]*))?\](.*)", re.DOTALL)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds."""
    return YAML(typ="safe", pure=True).load(path)


class Command(NamedTuple):
    """A workflow command that the runner acts on."""

    name: str
    properties: Mapping[str, str]
    message: str


def commands_in(log: str) -> list[Command]:
    """Return the commands in ``log`` that the runner acts on; what stands between stop and resume it does not."""
    done, word = [], ""
    for line in re.split("\r\n|\n|\r", log):
        command = _parse(line, word)
        if command is None:
            continue
        if word:
            word = "" if command.name == word else word
        elif command.name == "stop-commands":
            assert len(command.message) >= 20
            assert command.message not in _REGISTERED
            word = command.message
        else:
            done.append(command)
    return done


def _parse(line: str, word: str) -> Command | None:
    for pattern, separator, codes in (
        (_V2, ",", {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}),
        (_V1, ";", {"%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]"}),
    ):
        match = pattern.match(line) if pattern is _V2 else pattern.search(line)
        if match and (match[1] in _REGISTERED or match[1] == word):
            pairs = (pair.partition("=") for pair in (match[2] or "").split(separator) if "=" in pair)
            properties = {name.strip(): _unescape(value, codes) for name, _, value in pairs}
            data = {code: text for code, text in codes.items() if code not in ("%3A", "%2C")}
            return Command(match[1], properties, _unescape(match[3], data))
    return None


def _unescape(text: str, codes: Mapping[str, str]) -> str:
    for code, meant in codes.items():
        text = text.replace(code, meant)
    return text


class Step(NamedTuple):
    """A step that a shell has run: what it printed, its status, and the outputs that it set."""

    name: str
    log: str
    status: int
    outputs: Mapping[str, str]


class ActionRun:
    """Runs the ``run:`` steps of a composite action, as the service would; the steps that use other actions are passed over.

    ``skipped`` has what these would have been given, by their name.
    """

    def __init__(self, action: Path, inputs: Mapping[str, str], workspace: Path, **environment: str) -> None:
        """Prepare it.

        Args:
            action: the file.
            inputs: as a workflow gives them; the others have their defaults.
            workspace: where the repository is checked out.
            environment: what else the service and the workflow have set.
        """
        self._action = read_yaml(action)
        assert self._action["runs"]["using"] == "composite"
        unknown = inputs.keys() - self._action["inputs"].keys()
        assert not unknown, f"the service warns of {unknown}"
        defaults = {name: str(given.get("default", "")) for name, given in self._action["inputs"].items()}
        self._workspace = workspace
        self._temp = workspace.parent / "runner-temp"
        self._temp.mkdir(exist_ok=True)
        self._environment = {
            **environment,
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_ACTION_PATH": str(action.parent),
            "RUNNER_TEMP": str(self._temp),
            "CI": "true",
        }
        self._context: dict[str, Any] = {
            "inputs": {**defaults, **inputs},
            "steps": {},
            "runner": {"temp": str(self._temp), "os": "Linux"},
            "github": {
                "run_id": "7",
                "run_attempt": int(environment.get("GITHUB_RUN_ATTEMPT", "1")),
                "ref": environment.get("GITHUB_REF", "refs/heads/topic"),
                "workspace": str(workspace),
                "action_path": str(action.parent),
                "event": {"repository": {"default_branch": "main"}},
            },
        }
        self.steps: list[Step] = []
        self.skipped: dict[str, dict[str, str]] = {}
        self.summary = ""
        self._failed = False

    def run(self) -> ActionRun:
        """Run all steps whose conditions hold, and return this."""
        for number, step in enumerate(self._action["runs"]["steps"]):
            if not self._holds(str(step.get("if", ""))):
                continue
            if "uses" in step:
                given = {name: self.fill(str(value)) for name, value in step.get("with", {}).items()}
                self.skipped[step["name"]] = {"uses": step["uses"], **given}
                continue
            self._run_step(step, number)
        return self

    @property
    def status(self) -> int:
        """The exit status of the first step that failed; 0 if none has."""
        return next((step.status for step in self.steps if step.status), 0)

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the action."""
        return {name: self.fill(str(given["value"])) for name, given in self._action["outputs"].items()}

    @property
    def log(self) -> str:
        """What all steps printed."""
        return "\n".join(step.log for step in self.steps)

    def _run_step(self, step: Mapping[str, Any], number: int) -> None:
        assert "${{" not in step["run"], "what is put into a script is run as a script"
        assert step["shell"] == "bash"
        files = {name: self._temp / f"{name}-{number}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        script = self._temp / f"step-{number}.sh"
        script.write_text(step["run"])
        own = {name: self.fill(str(value)) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],  # as `shell: bash` is documented
            cwd=self._workspace / self.fill(step.get("working-directory", ".")),
            env={**self._environment, **{name: str(file) for name, file in files.items()}, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        outputs = dict(_pairs(files["GITHUB_OUTPUT"].read_text().splitlines()))
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        if "id" in step:
            outcome = "failure" if done.returncode else "success"
            self._context["steps"][step["id"]] = {"outputs": outputs, "outcome": outcome}
        self.steps.append(Step(step["name"], done.stdout, done.returncode, outputs))
        self._failed = self._failed or done.returncode != 0

    # Expressions

    def fill(self, text: str) -> str:
        """Return ``text`` with its expressions replaced by their values."""
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: _text(self._value(match[1])), text)

    def _holds(self, condition: str) -> bool:
        condition = condition.strip().removeprefix("${{").removesuffix("}}")
        if not re.search(r"\b(always|failure|success|cancelled)\(\)", condition):
            condition = f"success() && ({condition or 'true'})"
        return _text(self._value(condition)) not in ("", "false")

    def _value(self, expression: str) -> Any:
        """Evaluate an expression, which is Python's but for its operators, names and functions."""
        code = re.sub(r"!(?!=)", " not ", expression.replace("&&", " and ").replace("||", " or "))
        code = re.sub(r"\b(?:inputs|steps|github|runner|env)(?:\.[\w-]+)+", lambda match: f"get({match[0]!r})", code)
        names = {
            "get": self._look_up,
            "true": True,
            "false": False,
            "always": lambda: True,
            "success": lambda: not self._failed,
            "failure": lambda: self._failed,
            "cancelled": lambda: False,
            "format": lambda pattern, *values: pattern.format(*values),
            "startsWith": lambda text, start: text.startswith(start),
        }
        return eval(code.strip(), {"__builtins__": {}}, names)

    def _look_up(self, path: str) -> Any:
        value: Any = {**self._context, "env": self._environment}
        for part in path.split("."):
            value = value.get(part, "") if isinstance(value, Mapping) else ""
        return value


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else str(value)


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        name, equals, value = line.partition("=")
        assert equals, f"no output: {line!r}"
        yield name, value


def service_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a job of ours, on whose PATH ``python`` is the one that runs the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return clean_environment(PATH=path, **extra)
