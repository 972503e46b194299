"""URLs of the library's pages and endpoints."""

from django.urls import path

from library import views

app_name = "library"
urlpatterns = [
    path("", views.home, name="home"),
    path("books/", views.BookListView.as_view(), name="books"),
    path("books/<int:pk>/", views.BookDetailView.as_view(), name="book"),
    path("authors/", views.AuthorListView.as_view(), name="authors"),
    path("authors/<int:pk>/", views.AuthorDetailView.as_view(), name="author"),
    path("search/", views.SearchView.as_view(), name="search"),
    path("catalogue/", views.CatalogueView.as_view(), name="catalogue"),
    path("catalogue/data/", views.catalogue_data, name="catalogue-data"),
    path("statistics/", views.StatisticsView.as_view(), name="statistics"),
    path("statistics/data/", views.statistics_data, name="statistics-data"),
    path("loans/", views.MyLoansView.as_view(), name="my-loans"),
    path("loans/<int:pk>/return/", views.give_back, name="return"),
    path("copies/<int:pk>/borrow/", views.borrow, name="borrow"),
]
