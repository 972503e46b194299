"""The pages of the library as tests use them: where each is, how one sees that it is there, and what one does there."""

from testkit.screenshots import Page


class HomePage(Page):
    path = "/"
    ready = ".book-card"


class BookListPage(Page):
    path = "/books/"
    ready = ".book-card"

    def open_first(self) -> "BookPage":
        """Follow the title of the first book."""
        return self.follow(".book-card__title a", BookPage)


class BookPage(Page):
    path = "/books/{pk}/"
    ready = "article.book"


class CataloguePage(Page):
    path = "/catalogue/"
    ready = "#catalogue tbody tr"

    def filter(self, text: str) -> None:
        """Type ``text`` into the filter; the table follows a moment later."""
        self.fill("#catalogue-search", text)


class StatisticsPage(Page):
    path = "/statistics/"
    ready = ".chart svg"
