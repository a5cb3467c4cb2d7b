"""Upstream's kind of load as a Locust user: its tasks, weights, waits and form fields."""

import datetime
import random

from faker import Faker
from locust import FastHttpUser, TaskSet, between

PRODUCTS = [
    "0PUK6V6EV0", "1YMWWN1N4O", "2ZYFJ3GM2N", "66VCHSJNUP", "6E92ZMYYFZ",
    "9SIQT8TOJO", "L9ECAV7KIM", "LS4PSXUNUM", "OLJCESPC7Z",
]
CURRENCIES = ["EUR", "USD", "JPY", "CAD", "GBP", "TRY"]
fake = Faker()


def index(user):
    user.client.get("/")


def set_currency(user):
    user.client.post("/setCurrency", {"currency_code": random.choice(CURRENCIES)})


def browse_product(user):
    user.client.get("/product/" + random.choice(PRODUCTS))


def view_cart(user):
    user.client.get("/cart")


def add_to_cart(user):
    product = random.choice(PRODUCTS)
    user.client.get("/product/" + product)
    user.client.post("/cart", {"product_id": product, "quantity": random.randint(1, 10)})


def checkout(user):
    add_to_cart(user)
    next_year = datetime.date.today().year + 1
    user.client.post("/cart/checkout", {
        "email": fake.email(),
        "street_address": fake.street_address(),
        "zip_code": fake.zipcode(),
        "city": fake.city(),
        "state": fake.state_abbr(),
        "country": fake.country(),
        "credit_card_number": fake.credit_card_number(card_type="visa"),
        "credit_card_expiration_month": random.randint(1, 12),
        "credit_card_expiration_year": random.randint(next_year, next_year + 70),
        "credit_card_cvv": str(random.randint(100, 999)),
    })


class Behavior(TaskSet):
    """Does one task after another."""

    tasks = {index: 1, set_currency: 2, browse_product: 10, add_to_cart: 2, view_cart: 3, checkout: 1}

    def on_start(self):
        """Comes in by the front door."""
        index(self)


class Shopper(FastHttpUser):
    """Keeps cookies, follows redirects, and thinks between tasks."""

    tasks = [Behavior]
    wait_time = between(1, 10)
