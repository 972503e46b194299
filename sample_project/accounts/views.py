"""Opening an account, and looking after it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.views.generic import CreateView, UpdateView

from accounts.forms import ProfileForm, SignUpForm


class SignUpView(CreateView):
    """Open an account and sign the new reader in."""

    form_class = SignUpForm
    template_name = "accounts/signup.html"
    success_url = reverse_lazy("library:home")

    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponseBase:
        """Send readers who have an account to it."""
        if request.user.is_authenticated:
            return redirect("accounts:profile")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        response = super().form_valid(form)
        login(self.request, self.object)
        messages.success(self.request, f"Welcome to the library, {self.object.get_username()}.")
        return response


class ProfileView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    """Show and change the reader's own details; there is no URL for anybody else's."""

    form_class = ProfileForm
    template_name = "accounts/profile.html"
    success_url = reverse_lazy("accounts:profile")
    success_message = "Your details have been saved."

    def get_object(self, queryset: QuerySet[Any] | None = None) -> Model:
        """Return a fresh object, so that a refused form leaves the name in the page's header alone."""
        return get_user_model().objects.get(pk=self.request.user.pk)

    def get_context_data(self, **kwargs) -> dict[str, Any]:
        loans = self.object.loans
        numbers = {"open_count": loans.open().count(), "loan_count": loans.count()}
        return super().get_context_data(**numbers, **kwargs)
