"""GitHub Actions: annotations where tests failed, groups in the log, the summary of the step, and its outputs.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Mapping

from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of


class GithubOptions(OptionGroup):
    """Options of what GitHub Actions is told."""

    github: str = option(
        default="auto",
        parse=one_of("auto", "on", "off"),
        metavar="auto|on|off",
        help="Annotate failures, and write the summary and the outputs of the step; by default on GitHub Actions.",
    )

    def is_on(self, environ: Mapping[str, str], *, by_itself: bool = True) -> bool:
        """Return whether GitHub is told; ``by_itself`` says that it may be without having been asked for."""
        return self.github == "on" or (
            self.github == "auto" and by_itself and environ.get("GITHUB_ACTIONS", "").lower() == "true"
        )
