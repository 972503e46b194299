"""Templates are measured whatever the settings say of debugging, and nothing else is taken for one."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.coverage.minishop import FILES, ROOT, lines, python, write

pytest.importorskip("django_coverage_plugin")

MANAGE = ("-W", "error", "manage.py", "test", "--with-cov", "--cover-json")
JSON = Path("reports/coverage.json")

PAGE = """
    <h1>{{ title }}</h1>
    {% if title %}
      <p>some</p>
    {% else %}
      <p>none</p>
    {% endif %}
"""
PAGE_TEST = """
            def test_page(self):
                self.assertIn("some", render_to_string("shop/page.html", {"title": "Dune"}))
"""
TEMPLATES = {
    "shop/templates/shop/page.html": PAGE,
    "shop/templates/shop/old.html": "<p>old</p>",
    "shop/tests.py": FILES["shop/tests.py"] + PAGE_TEST,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, FILES | TEMPLATES)
    return folder


@pytest.mark.parametrize("core", ["ctrace", "sysmon"])
def test_lines_of_templates_are_measured(shop: Path, core: str) -> None:
    """Rendered lines are covered without template debugging, and a template that no test renders is missed whole."""
    ran = python(shop, *MANAGE, COVERAGE_CORE=core)
    assert ran.returncode == 0, ran.stderr
    assert lines(shop / JSON, "") | {"python": None} == lines(shop / JSON) | {
        "shop/templates/shop/page.html": ([1, 2, 3], [5]),
        "shop/templates/shop/old.html": ([], [1]),
        "python": None,
    }


def test_templates_of_a_package_are_measured(shop: Path) -> None:
    """--cover-package measures the templates below a package, too."""
    ran = python(shop, *MANAGE, "--cover-package=shop")
    assert ran.returncode == 0, ran.stderr
    assert lines(shop / JSON, "page.html")["shop/templates/shop/page.html"] == ([1, 2, 3], [5])


def test_templates_of_a_package_elsewhere_are_left_out(shop: Path) -> None:
    """Where coverage.py measures a package by its name only, it is not said that none of its templates ran."""
    (shop / "src").mkdir()
    (shop / "shop").rename(shop / "src/shop")
    ran = python(shop, *MANAGE, "--cover-package=shop", "shop", PYTHONPATH=f"src:{ROOT}")
    assert ran.returncode == 0, ran.stderr
    assert "src/shop/models.py" in lines(shop / JSON)
    assert lines(shop / JSON, ".html") == {}


def test_engines_beside_django_s_do_no_harm(shop: Path) -> None:
    """A second template engine neither stops the measurement of Django's templates nor makes coverage.py warn."""
    other = 'TEMPLATES += [{"BACKEND": "django.template.backends.dummy.TemplateStrings", "NAME": "other"}]'
    write(shop, {"settings.py": f"{dedent(FILES['settings.py'])}{other}\n"})
    ran = python(shop, *MANAGE)
    assert ran.returncode == 0, ran.stderr
    assert "shop/templates/shop/page.html" in lines(shop / JSON, "")
    assert "plug-in" not in ran.stderr


def test_a_plug_in_that_the_project_configures_is_left_alone(shop: Path) -> None:
    """A project that configures django_coverage_plugin itself has exactly what `coverage run` gives it."""
    debugging = 'TEMPLATES[0]["OPTIONS"] = {"debug": True}'
    configuration = "[run]\nsource = .\nplugins = django_coverage_plugin\n"
    write(shop, {"settings.py": f"{dedent(FILES['settings.py'])}{debugging}\n", ".coveragerc": configuration})
    python(shop, "-m", "coverage", "run", "manage.py", "test").check_returncode()
    python(shop, "-m", "coverage", "json", "-o", "reference.json", DJANGO_SETTINGS_MODULE="settings").check_returncode()
    ran = python(shop, *MANAGE)
    assert ran.returncode == 0, ran.stderr
    assert "requirements.txt" in lines(shop / "reference.json", "")
    assert lines(shop / JSON, "") == lines(shop / "reference.json", "")


def test_the_data_can_be_read_by_coverage_py(shop: Path) -> None:
    """With the plug-in in the project's configuration, `coverage run` measures and `coverage json` reads templates."""
    write(shop, {".coveragerc": "[run]\nsource = .\nplugins = testkit.coverage.templates\n"})
    python(shop, *MANAGE).check_returncode()
    read = ["-m", "coverage", "json", "-o", "again.json", "--data-file"]
    python(shop, *read, "reports/coverage.data").check_returncode()
    assert lines(shop / "again.json", "") == lines(shop / JSON, "")
    python(shop, "-m", "coverage", "run", "manage.py", "test", COVERAGE_CORE="ctrace").check_returncode()
    python(shop, *read, ".coverage").check_returncode()
    assert lines(shop / "again.json", "") == lines(shop / JSON, "")


MEASURE_WITH = """
    import json, sys, coverage
    name = sys.argv[1]
    measuring = coverage.Coverage(source=["."], config_file=False, data_file=None)
    measuring.set_option("run:plugins", [name])
    measuring.set_option("run:core", "ctrace")
    measuring.start()
    import django
    from django.conf import settings
    backend = "django.template.backends.django.DjangoTemplates"
    is_original = name == "django_coverage_plugin"
    settings.configure(TEMPLATES=[{"BACKEND": backend, "DIRS": ["t"], "OPTIONS": {"debug": is_original}}])
    django.setup()
    from django.template.loader import render_to_string
    render_to_string("all.html", {"n": 2, "list": [1, 2]})
    measuring.stop()
    data = measuring.get_data()
    print(json.dumps({file[-8:]: sorted(data.lines(file)) for file in data.measured_files() if file.endswith("html")}))
"""
EVERY_KIND_OF_TAG = """
    {% extends "base.html" %}{% load i18n %}
    not shown
    {% block body %}
     a {{ n }} {# comment #}
     {% comment %}
     x
     {% endcomment %}
     {% verbatim %}
      {{ a }}
      b
     {% endverbatim %}

     {% blocktranslate %}one
     two {{ n }}
     three{% endblocktranslate %}
     {% blocktranslate count c=n %}one
     {% plural %}
     many {{ c }}
     {% endblocktranslate %}
     {% for x in list %}{{ x }}
       y
     {% empty %} none
     {% endfor %} {% if n == 1 %}  \x20
       no
     {% elif n == 2 %}   yes
       yes
     {% endif %}

     \x20
     <b>{% with q=1 %} {{ q }} {% endwith %}
     </b>{% include "part.html" %}
    {% endblock %}
"""


def test_lines_are_those_of_the_original_plug_in(tmp_path: Path) -> None:
    """For every kind of tag, the lines without template debugging are what django_coverage_plugin has with it."""
    files = {
        "program.py": MEASURE_WITH,
        "t/all.html": EVERY_KIND_OF_TAG,
        "t/base.html": "<html>\n{% block body %}\n{% endblock %}\n</html>\n",
        "t/part.html": "\n\npart\n{{ n }}",
    }
    write(tmp_path, files)

    def measured(plug_in: str) -> Any:
        ran = python(tmp_path, "-W", "error", "program.py", plug_in)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    original = measured("django_coverage_plugin")
    assert len(original["all.html"]) > 15
    assert measured("testkit.coverage.templates") == original
