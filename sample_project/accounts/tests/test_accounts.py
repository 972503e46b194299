"""Joining, signing in and out, and the profile."""

from django.contrib.auth import get_user, get_user_model
from django.test import TestCase
from django.urls import reverse

from library.tests.factories import TODAY, make_loan, make_reader

User = get_user_model()
PASSWORD = "a lantern in the orchard"


class SignUpTests(TestCase):
    url = "/accounts/signup/"

    def join(self, **changes):
        form = {"username": "ada", "email": "ada@example.com", "password1": PASSWORD, "password2": PASSWORD}
        return self.client.post(self.url, {**form, **changes}, follow=True)

    def test_joining_opens_an_account_and_signs_in(self):
        response = self.join()
        self.assertRedirects(response, reverse("library:home"))
        self.assertContains(response, "Welcome to the library, ada.")
        user = get_user(self.client)
        self.assertEqual((user.email, user.is_staff, user.is_superuser), ("ada@example.com", False, False))

    def test_an_address_with_an_account_is_refused_whatever_its_case(self):
        make_reader("first", email="Ada@Example.com")
        response = self.join()
        self.assertContains(response, "There is an account with this email address.")
        self.assertEqual(User.objects.count(), 1)

    def test_a_reader_who_is_signed_in_is_sent_to_the_profile(self):
        self.client.force_login(make_reader())
        self.assertRedirects(self.client.get(self.url), "/accounts/profile/")


class SignInTests(TestCase):
    def test_a_visitor_to_a_readers_page_is_asked_to_sign_in(self):
        for url in ("/accounts/profile/", "/loans/"):
            with self.subTest(url=url):
                self.assertRedirects(self.client.get(url), f"/accounts/login/?next={url}")

    def test_signing_in_leads_to_the_page_that_was_asked_for(self):
        User.objects.create_user("ada", password=PASSWORD)
        response = self.client.post("/accounts/login/", {"username": "ada", "password": PASSWORD, "next": "/loans/"})
        self.assertRedirects(response, "/loans/")

    def test_signing_in_does_not_lead_to_another_site(self):
        self.client.force_login(make_reader())
        response = self.client.get("/accounts/login/", {"next": "https://elsewhere.example/"})
        self.assertRedirects(response, reverse("library:home"))

    def test_signing_out_takes_a_post(self):
        self.client.force_login(make_reader())
        self.assertEqual(self.client.get("/accounts/logout/").status_code, 405)
        self.client.post("/accounts/logout/")
        self.assertFalse(get_user(self.client).is_authenticated)


class ProfileTests(TestCase):
    url = "/accounts/profile/"

    @classmethod
    def setUpTestData(cls):
        cls.reader = make_reader("ada", email="ada@example.com")

    def test_it_shows_the_numbers_of_the_readers_own_loans(self):
        make_loan(self.reader)
        make_loan(self.reader, returned_on=TODAY)
        make_loan(make_reader("another"))
        self.client.force_login(self.reader)
        context = self.client.get(self.url).context
        self.assertEqual((context["open_count"], context["loan_count"]), (1, 2))

    def test_a_new_name_is_saved_and_nothing_else(self):
        self.client.force_login(self.reader)
        change = {"first_name": "Ada", "last_name": "Byron", "is_staff": "on", "username": "root"}
        self.assertContains(self.client.post(self.url, change, follow=True), "Your details have been saved.")
        self.reader.refresh_from_db()
        self.assertEqual(self.reader.get_full_name(), "Ada Byron")
        self.assertEqual((self.reader.username, self.reader.is_staff), ("ada", False))
