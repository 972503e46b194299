"""A plug-in of coverage.py: django_coverage_plugin, made to work whatever the project's settings are.

The original refuses to work without template debugging, which Django's runner switches off with ``DEBUG``, and beside
engines other than Django's; and it takes every HTML and text file below the source folders (``requirements.txt``, the
last HTML report) for a template that never ran. Here lines come from what every template token knows, and only files
in the folders of Django's template loaders count.

``coverage report``, ``coverage html`` and the like can read the data of a run with templates when the project's coverage
configuration says ``plugins = testkit.coverage.templates``; ``coverage run`` measures templates by it, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

# Django's template modules are imported here, before the measurement begins. They read no settings and import nothing
# of the project.
from django.core.exceptions import ImproperlyConfigured
from django.template.base import TextNode
from django.template.defaulttags import VerbatimNode
from django.templatetags.i18n import BlockTranslateNode
from django_coverage_plugin.plugin import DjangoTemplatePlugin  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from coverage.plugin import FileTracer
    from coverage.plugin_support import Plugins
    from coverage.types import TConfigurable

_NO_LINES = (-1, -1)


class TemplatePlugin(DjangoTemplatePlugin):  # type: ignore[misc]
    """Measures the templates that Django's engines render."""

    def configure(self, config: TConfigurable) -> None:
        super().configure(config)
        sources = [config.get_option("run:source"), config.get_option("run:source_dirs")]
        self._source_folders = {os.path.realpath(name) for names in sources for name in _texts(names)}

    def file_tracer(self, filename: str) -> FileTracer | None:
        # The original looks for template debugging here.
        is_template_code = os.path.normcase(filename).startswith(self.django_template_dir)
        return self if is_template_code else None

    def line_number_range(self, frame: FrameType) -> tuple[int, int]:
        # Tokens have positions under template debugging only, but line numbers always.
        node = frame.f_locals["self"]
        token = getattr(node, "token", None)
        if token is None:
            return _NO_LINES
        first, last = token.lineno, _last_line(token)
        if isinstance(node, TextNode):
            # The rest of a tag's line is not said to be text.
            first += token.contents.splitlines()[0].strip() == "" and "\n" in token.contents
        elif isinstance(node, VerbatimNode):
            last += node.content.count("\n")
        elif isinstance(node, BlockTranslateNode):
            last = _last_line((node.plural or node.singular)[-1])
        return first, last

    def find_executable_files(self, src_dir: str) -> Iterator[str]:
        # Templates are measured below source folders, but never by the name of a source package: to list those that
        # did not run in a package would be to say that none of its templates ran.
        source = os.path.realpath(src_dir)
        if source not in self._source_folders:
            return
        for folder in _template_folders():
            if folder.is_relative_to(source):
                yield from super().find_executable_files(str(folder))


def _texts(value: Any) -> list[str]:
    return list(value or ())


def _last_line(token: Any) -> int:
    """Return the line on which a template token ends."""
    line: int = token.lineno + token.contents.count("\n") - token.contents.endswith("\n")
    return line


def _template_folders() -> set[Path]:
    from django.template.autoreload import get_template_directories

    try:
        return {Path(os.path.realpath(folder)) for folder in get_template_directories()}
    except (ImproperlyConfigured, ImportError):
        # Without settings, or with an engine that cannot be made, no template can have been rendered.
        return set()


def coverage_init(registry: Plugins, options: dict[str, Any]) -> None:
    """Give coverage.py the plug-in; it calls this by name."""
    plugin = TemplatePlugin(options)
    registry.add_file_tracer(plugin)
    registry.add_configurer(plugin)
