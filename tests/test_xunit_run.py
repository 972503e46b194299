"""The xunit file of a real run, for everything that has ever broken one (the torture list)."""

from __future__ import annotations

from collections import Counter

import pytest
from lxml import etree

from tests.projects import Project

TORTURE = r'''
import sys
import unittest
from django.test import SimpleTestCase
from shop import words

NASTY = "nul \x00 esc \x1b[31m end ]]> half \ud800 not \ufffe <b>&amp;</b>"

def load_tests(loader, tests, pattern):
    import doctest
    tests.addTests(doctest.DocTestSuite(words))
    return tests

class BadString(Exception):
    def __str__(self):
        raise RuntimeError("no words")

class Torture(SimpleTestCase):
    def test_message(self):
        self.fail(NASTY)

    def test_output(self):
        sys.stdout.buffer.write(b"bytes \xff\xfe\n")
        print("nul \x00 esc \x1b[31m ]]>")
        print("to stderr", file=sys.stderr)

    def test_much_output(self):
        print("begin" + "x" * 10_000_000 + "end")

    def test_skip_reason(self):
        self.skipTest(NASTY)

    def test_str_raises(self):
        raise BadString

    def test_docstring(self):
        """<script>alert("&")</script> ]]>"""

    def test_subtests(self):
        for value in ("plain", "<&>", 'quo"te', object()):
            with self.subTest(value=value):
                if value == "<&>":
                    self.fail("this one")
                if value == 'quo"te':
                    self.skipTest("that one")

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("known <b>")

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_two_problems(self):
        self.addCleanup(self.explode)
        self.fail("first")

    def explode(self):
        raise ValueError("second")

setattr(Torture, "test_<markup> & \"quotes\"", lambda self: None)

class SetUpClassFails(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        raise RuntimeError("no class")
    def test_a(self): pass
    def test_b(self): pass

class SetUpClassSkips(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no browser")
    def test_a(self): pass

class TearDownClassFails(SimpleTestCase):
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        raise RuntimeError("untidy")
    def test_a(self): pass
'''
MODULE_FAILS = """
from unittest import TestCase

def setUpModule():
    raise OSError("no module")

class Below(TestCase):
    def test_a(self): pass
"""
WORDS = '''
def plural(word):
    """
    >>> plural("<book>")
    '<book>s'
    """
    return word + "s"
'''


@pytest.fixture(scope="module")
def tortured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("torture"))
    project.tests(TORTURE)
    project.tests(MODULE_FAILS, module="test_module")
    project.tests("import nothing_of_that_name", module="test_import")
    project.write({"shop/words.py": WORDS})
    result = project.run("--with-xunit", PYTHONIOENCODING="utf-8:backslashreplace")
    assert result.returncode == 1, result.stderr[-3000:]
    project.run("--with-xunit", "--xunit-flavour=strict", "--xunit-file=strict.xml")
    return project


def cases(root: etree._Element) -> dict[str, etree._Element]:
    return {f"{case.get('classname')}|{case.get('name')}": case for case in root.iter("testcase")}


def verdict(case: etree._Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def test_each_case_has_its_class_name_and_verdict(tortured):
    """Tests, subtests, fixtures, imports and doctests are each a case with the right class, name and verdict."""
    module, fails = "shop.tests.test_shop", "shop.tests.test_module"
    torture = f"{module}.Torture"
    found = {name: verdict(case) for name, case in cases(tortured.xunit()).items()}
    assert found == {
        f"{torture}|test_message": "failure",
        f"{torture}|test_output": "passed",
        f"{torture}|test_much_output": "passed",
        f"{torture}|test_skip_reason": "skipped",
        f"{torture}|test_str_raises": "error",
        f"{torture}|test_docstring": "passed",
        f"{torture}|test_subtests": "failure",
        f"{torture}|test_subtests (value='plain')": "passed",
        f"{torture}|test_subtests (value='<&>')": "failure",
        f"{torture}|test_subtests (value='quo\"te')": "skipped",
        f"{torture}|test_subtests (value=<object object>)": "passed",
        f"{torture}|test_expected": "skipped",
        f"{torture}|test_unexpected": "failure",
        f"{torture}|test_two_problems": "error",
        f'{torture}|test_<markup> & "quotes"': "passed",
        f"{module}.SetUpClassFails|setUpClass": "error",
        f"{module}.SetUpClassSkips|setUpClass": "skipped",
        f"{module}.TearDownClassFails|test_a": "passed",
        f"{module}.TearDownClassFails|tearDownClass": "error",
        f"{fails}|setUpModule": "error",
        "shop.tests.test_import|import": "error",
        "shop.words|plural": "passed",
    }


def test_files_and_lines_are_those_of_the_test(tortured):
    """File and line are the test's or the fixture's own, never those of the one before."""
    lines = TORTURE.strip().splitlines()

    def line_of(text: str) -> int:
        return next(number for number, line in enumerate(lines, 1) if text in line)

    module = "shop.tests.test_shop"
    found = cases(tortured.xunit())
    expected = {
        f"{module}.Torture|test_message": line_of("def test_message"),
        f"{module}.Torture|test_expected": line_of("def test_expected") - 1,
        f"{module}.SetUpClassFails|setUpClass": line_of("class SetUpClassFails") + 1,
        f"{module}.TearDownClassFails|tearDownClass": line_of("class TearDownClassFails") + 1,
    }
    for name, line in expected.items():
        assert (found[name].get("file"), found[name].get("line")) == ("shop/tests/test_shop.py", str(line)), name
    assert found["shop.tests.test_module|setUpModule"].get("file") == "shop/tests/test_module.py"
    assert found["shop.words|plural"].get("file") == "shop/words.py"


def test_the_counts_equal_the_elements(tortured):
    """The counts in the attributes of the root and of each suite equal their elements, in both flavours."""
    for file in ("reports/xunit.xml", "strict.xml"):
        root = tortured.xunit(file)
        for element in (root, *root.iter("testsuite")):
            verdicts = Counter(verdict(case) for case in element.iter("testcase"))
            for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                if attribute != "skipped" or element is not root or file == "reports/xunit.xml":
                    assert int(element.get(attribute)) == verdicts[tag], (file, element.attrib)
            assert int(element.get("tests")) == verdicts.total()


def test_what_xml_cannot_hold_is_spelled_out(tortured):
    """Control characters, lone surrogates and bytes that are no UTF-8 are visible as escapes; markup is text."""
    found = cases(tortured.xunit())
    torture = "shop.tests.test_shop.Torture"
    nasty = r"nul \x00 esc \x1b[31m end ]]> half \ud800 not \ufffe <b>&amp;</b>"
    assert nasty in found[f"{torture}|test_message"].find("failure").get("message")
    assert nasty in found[f"{torture}|test_skip_reason"].find("skipped").get("message")
    output = found[f"{torture}|test_output"].find("system-out").text
    assert "bytes \\xff\\xfe\n" in output
    assert "nul \\x00 esc \\x1b[31m ]]>" in output
    assert found[f"{torture}|test_output"].find("system-err").text == "to stderr\n"
    description = found[f"{torture}|test_docstring"].find("properties/property[@name='description']")
    assert description.get("value") == '<script>alert("&")</script> ]]>'


def test_output_of_10_mb_is_cut_in_the_middle(tortured):
    """10 MB of output become 1 MB with its beginning, its end and a note between."""
    text = cases(tortured.xunit())["shop.tests.test_shop.Torture|test_much_output"].find("system-out").text
    assert len(text) < 1_000_100
    assert text.startswith("beginxxx")
    assert text.endswith("xxxend\n")
    assert "cut" in text


def test_all_problems_of_a_test_are_told(tortured):
    """A failure and an error in one test are one element with both tracebacks; the exception whose str() raises is there."""
    found = cases(tortured.xunit())
    two = found["shop.tests.test_shop.Torture|test_two_problems"].find("error")
    assert "first" in two.text
    assert "ValueError: second" in two.text
    assert "BadString" in found["shop.tests.test_shop.Torture|test_str_raises"].find("error").text


def test_set_up_time_is_billed_to_no_test(project):
    """A class set-up of a second is a property of the suite, and in no test's time."""
    project.tests("""
    import time
    from unittest import TestCase
    class T(TestCase):
        @classmethod
        def setUpClass(cls): time.sleep(0.5)
        def test_a(self): time.sleep(0.1)
    """)
    project.run("--with-xunit")
    suite = project.xunit().find("testsuite")
    seconds = {case.get("name"): float(case.get("time")) for case in suite.iter("testcase")}
    assert 0.1 <= seconds["test_a"] < 0.4
    assert float(suite.find("properties/property[@name='setup_seconds']").get("value")) >= 0.5


def test_the_strict_file_is_valid_by_jenkins_schema(tortured, junit_schema):
    """The strict file is valid by junit-10.xsd of Jenkins' xunit plugin."""
    document = etree.parse(tortured.folder / "strict.xml", etree.XMLParser(huge_tree=True))
    junit_schema.assertValid(document)
    assert len(cases(document.getroot())) == len(cases(tortured.xunit()))


def test_the_classic_flavour_is_a_file_for_each_class(tortured):
    """--xunit-flavour classic writes TEST-<class>.xml files, well formed, with all the cases of that package."""
    tortured.run("--with-xunit", "--xunit-flavour=classic", "--xunit-file=classic/xunit.xml")
    files = {
        path.name: etree.parse(path, etree.XMLParser(huge_tree=True))
        for path in (tortured.folder / "classic").glob("*.xml")
    }
    torture = files["TEST-shop.tests.test_shop.Torture.xml"].getroot()
    assert len(list(torture.iter("testcase"))) >= 10
    assert not (tortured.folder / "classic" / "xunit.xml").exists()
    # The name is not written by this flavour, so a file that has it is not this run's to remove.
    (tortured.folder / "classic" / "xunit.xml").write_text("mine")
    tortured.run("--with-xunit", "--xunit-flavour=classic", "--xunit-file=classic/xunit.xml", "--tag=none")
    assert (tortured.folder / "classic" / "xunit.xml").read_text() == "mine"


def test_the_settings_of_unittest_xml_reporting_are_read(project):
    """TEST_OUTPUT_DIR and TEST_OUTPUT_FILE_NAME say where the file goes, unless our own option does."""
    project.tests("from unittest import TestCase\nclass T(TestCase):\n    def test_a(self): pass")
    project.settings('TEST_OUTPUT_DIR = "junit"\nTEST_OUTPUT_FILE_NAME = "all.xml"')
    result = project.run("--with-xunit")
    assert project.xunit("junit/all.xml").get("tests") == "1"
    assert "junit/all.xml" in result.stderr
    project.run("--with-xunit", "--xunit-file=own.xml")
    assert project.xunit("own.xml").get("tests") == "1"
