"""All that a URLconf can be made of is listed as Django joins it, and a request is known by the route that is listed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from testkit.endpoints.views import ANY
from testkit.endpoints.views import METHODS as KNOWN
from tests.projects import Project, clean_environment

METHODS = (ANY, *KNOWN)

SETTINGS = """
ROOT_URLCONF = "site_urls"
INSTALLED_APPS += ["django.contrib.admin", "django.contrib.messages", "django.contrib.sessions", "rest_framework"]
MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", "django.middleware.common.CommonMiddleware", "hosts.by_host"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_I18N = True
LANGUAGES = [("en", "English"), ("de", "German")]
LANGUAGE_CODE = "en"
"""
HOSTS = """
def by_host(answer):
    def middleware(request):
        if "HTTP_X_OTHER" in request.META:
            request.urlconf = "own_urls"
        return answer(request)
    return middleware
"""
VIEWS = """
from django.contrib.syndication.views import Feed
from django.forms import Form
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe
from django.views.generic import DeleteView, FormView, TemplateView, View
from rest_framework import generics, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.views import APIView

def plain(request, *args, **kwargs):
    return HttpResponse("ok")

async def slow(request):
    return HttpResponse("ok")

posted = require_POST(plain)
safe = require_safe(plain)
slow_get = require_GET(slow)
both = never_cache(require_http_methods(["GET", "PUT"])(plain))
neither = require_POST(require_http_methods(["POST", "PATCH"])(plain))

class BookView(View):
    def get(self, request, *args, **kwargs): return HttpResponse("ok")
    def delete(self, request, *args, **kwargs): return HttpResponse("ok")

class Narrow(BookView):
    http_method_names = ["get", "head", "options"]

class Heads(View):
    def get(self, request): return HttpResponse("ok")
    def head(self, request): return HttpResponse("")
    def options(self, request): return HttpResponse("")

class Form(FormView):
    form_class, template_name = Form, "no.html"

class Putting(Form):
    def put(self, request): return HttpResponse("ok")

@method_decorator([never_cache, require_POST], name="dispatch")
class Decorated(Putting):
    pass

class Words(Feed):
    pass

class Bound:
    def view(self, request):
        return HttpResponse("ok")

class Things(viewsets.ViewSet):
    def list(self, request, **kwargs): return Response([])
    def create(self, request, **kwargs): return Response([])
    def retrieve(self, request, pk, **kwargs): return Response([])
    @action(detail=True, methods=["post", "delete"])
    def publish(self, request, pk, **kwargs): return Response([])

class ReadOnly(Things):
    http_method_names = ["get"]

class Detail(generics.RetrieveUpdateAPIView):
    pass

class Api(APIView):
    def post(self, request): return Response([])

@api_view(["GET", "PUT"])
def function(request):
    return Response([])
"""
URLS = """
from functools import partial
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path, re_path, register_converter
from django.utils.functional import lazystr
from django.utils.translation import get_language
from django.utils.functional import lazy
from django.views.generic import RedirectView, TemplateView
from rest_framework.routers import DefaultRouter
from rest_framework.urlpatterns import format_suffix_patterns
import views

class Year:
    regex = "[0-9]{4}"
    def to_python(self, value): return int(value)
    def to_url(self, value): return str(value)

register_converter(Year, "yyyy")
router = DefaultRouter()
router.register("things", views.Things, basename="thing")
router.register("read", views.ReadOnly, basename="read")
contact = lazy(lambda: {"de": "kontakt/"}.get(get_language(), "contact/"), str)()

urlpatterns = [
    path("", views.plain, name="home"),
    path("books/<int:pk>/", views.BookView.as_view(), name="book"),
    path("archive/<yyyy:year>/", views.plain),
    re_path(r"^old/(?P<slug>[a-z^]+)/$", views.plain),
    re_path(r"^deep/", include([re_path("^er/", include([re_path(r"^(\\d+)$", views.plain)])), path("", views.plain)])),
    re_path("", include([re_path("^bare/$", views.plain)])),
    re_path("^", include([path("caret/", views.plain)])),
    path("one/", include(("own_urls", "own"), namespace="first")),
    path("two/", include(("own_urls", "own"), namespace="second")),
    path("posted/", views.posted),
    path("safe/", views.safe),
    path("both/", login_required(views.both)),
    path("neither/", views.neither),
    path("slow/", views.slow_get),
    path("narrow/", views.Narrow.as_view()),
    path("given/", views.BookView.as_view(http_method_names=["delete"])),
    path("wrapped/", login_required(views.BookView.as_view())),
    path("heads/", views.Heads.as_view()),
    path("form/", views.Form.as_view()),
    path("putting/", views.Putting.as_view()),
    path("decorated/", views.Decorated.as_view()),
    path("go/", RedirectView.as_view(url="/")),
    path("library/", TemplateView.as_view(template_name="no.html")),
    path("part/", partial(views.posted, extra=1)),
    path("feed/", views.Words()),
    path("bound/", views.Bound().view),
    path("lambda/", lambda request: views.plain(request)),
    path("twice/", views.plain),
    path("twice/", views.posted),
    path("admin/", admin.site.urls),
    path("api/", include(router.urls)),
    path("list/", include([path("", views.posted), path("go/", RedirectView.as_view(url="/"))])),
    path("api/detail/", views.Detail.as_view()),
    path("api/own/", views.Api.as_view()),
    *format_suffix_patterns([path("api/function/", views.function)]),
]
urlpatterns += i18n_patterns(
    path("about/", views.plain, name="about"), path(contact, views.posted), prefix_default_language=False
)
"""
OWN_URLS = """
from django.urls import path
import views
app_name = "own"
urlpatterns = [path("in/", views.plain, name="in"), path("caret/", views.posted)]
"""
EXPECTED = """
ANY  /                                        views.plain     home
ANY  /<language>/about/                       views.plain     about
POST /<language>/contact/                     views.plain
GET PUT PATCH /api/detail/                    views.Detail
GET PUT /api/function/                        views.function
POST /api/own/                                views.Api
GET /api/read/$                               views.ReadOnly  read-list
GET /api/read/(?P<pk>[^/.]+)/$                views.ReadOnly  read-detail
GET POST /api/things/$                        views.Things    thing-list
GET /api/things/(?P<pk>[^/.]+)/$              views.Things    thing-detail
POST DELETE /api/things/(?P<pk>[^/.]+)/publish/$ views.Things thing-publish
ANY  /archive/<yyyy:year>/                    views.plain
ANY  /bare/$                                  views.plain
GET DELETE /books/<int:pk>/                   views.BookView  book
GET PUT /both/                                views.plain
ANY  /bound/                                  views.Bound.view
ANY  /caret/                                  views.plain
POST /decorated/                              views.Decorated
ANY  /deep/                                   views.plain
ANY  /deep/er/(\\d+)$                         views.plain
ANY  /feed/                                   views.Words
GET POST /form/                               views.Form
DELETE /given/                                views.BookView
GET  /go/                                     django.views.generic.base.RedirectView
GET OPTIONS /heads/                           views.Heads
ANY  /lambda/                                 site_urls.<lambda>
GET  /library/                                django.views.generic.base.TemplateView
POST /list/                                   views.plain
GET  /list/go/                                django.views.generic.base.RedirectView
GET  /narrow/                                 views.Narrow
POST /neither/                                views.plain
ANY  /old/(?P<slug>[a-z^]+)/$                 views.plain
POST /one/caret/                              views.plain
ANY  /one/in/                                 views.plain     first:in
POST /part/                                   views.plain
POST /posted/                                 views.plain
GET POST PUT /putting/                        views.Putting
GET  /safe/                                   views.plain
GET  /slow/                                   views.slow
ANY  /twice/                                  views.plain
POST /two/caret/                              views.plain
ANY  /two/in/                                 views.plain     second:in
GET DELETE /wrapped/                          views.BookView
"""
"""The project's own endpoints: methods, route, view and the name to reverse it by."""
SCRIPT = """
import asyncio, json, sys
import django
django.setup()
from django.test import AsyncClient, Client
from django.test.utils import override_settings, setup_test_environment
setup_test_environment()
from testkit.core import current
from testkit.coverage.routes.hooks import heard
from testkit.coverage.routes.standing import endpoints_of
from testkit.endpoints.routes import all_routes

asked = {}
def note(name):
    asked[name] = current.current().measures.pop("routes", {}).get("asked", {})

with heard():
    current.enter()
    client = Client(raise_request_exception=False)
    for method, path, headers in json.load(sys.stdin):
        client.generic(method, path, headers=headers)
        note(f"{method} {path} {headers}")
    client.get("/books/1", follow=True)
    note("follow")
    with override_settings(ROOT_URLCONF="own_urls"):
        client.get("/caret/")
        note("override")
    with override_settings(FORCE_SCRIPT_NAME="/below"):
        client.get("/books/1/")
        note("script name")
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        try:
            Client().get("/library/")
        except Exception:
            note("propagated")
    async def ask():
        await AsyncClient().get("/slow/")
        await AsyncClient().post("/posted/")
    asyncio.run(ask())
    note("async")
    current.leave()
print(json.dumps({"routes": all_routes(), "endpoints": [each.key for each in endpoints_of(all_routes())], "asked": asked}))
"""
# Method, path and headers of a request, the route that it is noted under (none: it is not), user or not, and status.
REQUESTS = [
    ("GET", "/", {}, "/", "anonymous", 200),
    ("HEAD", "/books/7/", {}, "/books/<int:pk>/", "anonymous", 200),
    ("GET", "/archive/2024/", {}, "/archive/<yyyy:year>/", "anonymous", 200),
    ("GET", "/archive/20/", {}, "", "", 0),
    ("GET", "/old/a^b/", {}, "/old/(?P<slug>[a-z^]+)/$", "anonymous", 200),
    ("GET", "/deep/er/12", {}, "/deep/er/(\\d+)$", "anonymous", 200),
    ("GET", "/deep/", {}, "/deep/", "anonymous", 200),
    ("GET", "/bare/", {}, "/bare/$", "anonymous", 200),
    ("GET", "/caret/", {}, "/caret/", "anonymous", 200),
    ("GET", "/caret/", {"X-Other": "1"}, "", "", 0),
    ("GET", "/two/in/", {}, "/two/in/", "anonymous", 200),
    ("GET", "/posted/", {}, "/posted/", "anonymous", 405),
    ("GET", "/nowhere/", {}, "", "", 0),
    ("GET", "/library/", {}, "/library/", "anonymous", 500),
    ("GET", "/twice/", {}, "/twice/", "anonymous", 200),
    ("GET", "/api/things/", {}, "/api/things/$", "anonymous", 200),
    ("POST", "/api/things.json", {}, "/api/things/$", "anonymous", 200),
    ("GET", "/api/things/1/", {}, "/api/things/(?P<pk>[^/.]+)/$", "anonymous", 200),
    ("DELETE", "/api/things/1/publish/", {}, "/api/things/(?P<pk>[^/.]+)/publish/$", "anonymous", 200),
    ("GET", "/api/function", {}, "", "", 0),
    ("GET", "/api/function/", {}, "/api/function/", "anonymous", 200),
    ("GET", "/about/", {}, "/<language>/about/", "anonymous", 200),
    ("GET", "/de/about/", {}, "/<language>/about/", "anonymous", 200),
    ("POST", "/contact/", {}, "/<language>/contact/", "anonymous", 200),
    ("POST", "/de/kontakt/", {}, "/<language>/contact/", "anonymous", 200),
    ("GET", "/bound/", {"Authorization": "Token 1"}, "/bound/", "user", 200),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("urls"))
    project.settings(SETTINGS)
    project.write(
        {"site_urls.py": URLS, "own_urls.py": OWN_URLS, "views.py": VIEWS, "hosts.py": HOSTS, "ask.py": SCRIPT}
    )
    process = subprocess.run(
        [sys.executable, "ask.py"],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        input=json.dumps([request[:3] for request in REQUESTS]),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_the_routes_are_those_of_the_project(told):
    """Each pattern stands with its methods, joined as Django joins it; what cannot be asked is not there."""
    lines = []
    for path, methods, view, name, is_own in told["routes"]:
        if is_own:
            lines.append(" ".join([*methods, path, view, name]).rstrip())
    expected = [" ".join(line.split()) for line in EXPECTED.strip().splitlines()]
    assert [line for line in lines if line.partition(" ")[0] in METHODS] == expected


def test_what_a_view_never_takes_is_no_endpoint(told):
    """A viewset whose http_method_names leave out all methods of an action offers none of them."""
    assert [route for route in told["endpoints"] if "/read/" in route] == [
        "GET /api/read/$",
        "GET /api/read/(?P<pk>[^/.]+)/$",
    ]


def test_the_routes_of_libraries_are_others(told):
    """Those of the admin, and the root of a router, are listed and are not for the project to test."""
    others = {path: view for path, _, view, _, is_own in told["routes"] if not is_own}
    assert others["/admin/auth/user/add/"] == "django.contrib.auth.admin.UserAdmin.add_view"
    assert others["/api/"] == "rest_framework.routers.APIRootView"
    assert all(path.startswith(("/admin/", "/api/")) for path in others)


@pytest.mark.parametrize(("method", "path", "headers", "route", "kind", "status"), REQUESTS)
def test_a_request_is_known_by_the_route_that_is_listed(method, path, headers, route, kind, status, told):
    """It is noted with its method, its status and whether there was a user; no other route is."""
    expected = {f"{method} {route}": {kind: [status]}} if route else {}
    assert told["asked"][f"{method} {path} {headers}"] == expected
    assert not route or route in {listed[0] for listed in told["routes"]}


def test_what_leads_to_a_route_is_not_it(told):
    """A redirect to the path with a slash asks for nothing; followed, it asks for the route behind."""
    assert told["asked"]["follow"] == {"GET /books/<int:pk>/": {"anonymous": [200]}}


def test_urls_of_a_test_are_not_the_projects(told):
    assert told["asked"]["override"] == {}


def test_a_prefix_of_the_server_is_no_part_of_a_route(told):
    """FORCE_SCRIPT_NAME changes what paths look like, and no route."""
    assert told["asked"]["script name"] == {"GET /books/<int:pk>/": {"anonymous": [200]}}


def test_an_exception_that_is_let_through_is_an_error(told):
    assert told["asked"]["propagated"] == {"GET /library/": {"anonymous": [500]}}


def test_an_asynchronous_client_is_heard(told):
    """Asynchronous and synchronous views alike."""
    assert told["asked"]["async"] == {"GET /slow/": {"anonymous": [200]}, "POST /posted/": {"anonymous": [200]}}
