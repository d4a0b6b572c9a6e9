"""The files of the sample repositories, as they change from commit to commit.

They are small, they run, and they have faults on purpose: a README that names what is not there, notes that were left
in the code, a module without tests. So whoever reads them has something to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ANA: Final = "Ana Pereira <ana@example.org>"
TOMAS: Final = "Tomas Lind <tomas@example.org>"


@dataclass(frozen=True)
class SampleCommit:
    """One commit on `branch`, `day` days after the first of March 2026. A file with None is deleted."""

    day: int
    author: str
    message: str
    files: dict[str, str | None]
    branch: str = "main"


SHOP_README = """\
# Hedgerow shop

The book shop of Hedgerow: catalogue, cart and payment. Python 3.9 or newer, no dependencies.

    python -m shop.cart        # prints the example cart
    make test                  # runs the tests

| folder | what |
|---|---|
| `shop/` | catalogue, cart, payment |
| `tests/` | tests of the cart |
| `docs/deploy.md` | how it is deployed |

Prices are in cents. Shipping is free above 30.00 EUR.
"""

CATALOGUE = '''\
"""Books and how they are found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Book:
    isbn: str
    title: str
    author: str
    cents: int


BOOKS = (
    Book("978-0-00-000001-1", "The Hedge at Night", "M. Alder", 1290),
    Book("978-0-00-000002-8", "A Field Guide to Gates", "S. Hawthorn", 2450),
    Book("978-0-00-000003-5", "Sloe and Bramble", "J. Rowan", 990),
)


def search(words: str) -> list[Book]:
    """Books whose title or author has all the words."""
    # TODO: forgive typing errors, "agatha cristie" finds nothing
    wanted = words.lower().split()
    return [book for book in BOOKS if all(word in f"{book.title} {book.author}".lower() for word in wanted)]
'''

CART_FIRST = '''\
"""The cart: books, their number, and what they cost together."""

from shop.catalogue import BOOKS, Book


class Cart:
    def __init__(self) -> None:
        self.lines: dict[str, tuple[Book, int]] = {}

    def add(self, book: Book, count: int = 1) -> None:
        _, before = self.lines.get(book.isbn, (book, 0))
        self.lines[book.isbn] = (book, before + count)

    @property
    def cents(self) -> int:
        return sum(book.cents * count for book, count in self.lines.values())


if __name__ == "__main__":
    cart = Cart()
    cart.add(BOOKS[0], 2)
    print(cart.cents)
'''

CART = CART_FIRST.replace(
    "    @property\n    def cents",
    """    def remove(self, book: Book) -> None:
        # FIXME: raises KeyError for a book that is not in the cart
        del self.lines[book.isbn]

    @property
    def cents""",
).replace(
    'if __name__ == "__main__"',
    '''FREE_SHIPPING_FROM = 3500
SHIPPING = 490


def total(cart: Cart) -> int:
    """The price in cents with shipping."""
    return cart.cents + (0 if cart.cents >= FREE_SHIPPING_FROM else SHIPPING)


if __name__ == "__main__"''',
)

PAYMENT = '''\
"""Payment. The sheet of the browser is used where there is one."""

# TODO: version 7 of the payment library leaves support in January
LIBRARY_VERSION = 7


def sheet_for(user_agent: str) -> str:
    """Which payment sheet a browser gets."""
    if "Safari" in user_agent and "Chrome" not in user_agent:
        # TODO: Safari shows it below the fold, see the drop in checkout_completed
        return "apple"
    return "card"


def describe(cents: int, currency: str = "EUR") -> str:
    return f"{cents // 100}.{cents % 100:02} {currency}"
'''

TEST_CART = '''\
"""python -m unittest"""

import unittest

from shop.cart import Cart, total
from shop.catalogue import BOOKS, search


class CartTest(unittest.TestCase):
    def test_adding_a_book_twice_counts_it_twice(self) -> None:
        cart = Cart()
        cart.add(BOOKS[0])
        cart.add(BOOKS[0])
        self.assertEqual(cart.cents, 2 * BOOKS[0].cents)

    def test_shipping_is_added_to_a_small_cart(self) -> None:
        cart = Cart()
        cart.add(BOOKS[2])
        self.assertEqual(total(cart), BOOKS[2].cents + 490)

    def test_a_book_is_found_by_a_word_of_its_author(self) -> None:
        self.assertEqual([book.title for book in search("rowan")], ["Sloe and Bramble"])


if __name__ == "__main__":
    unittest.main()
'''

SHOP = (
    SampleCommit(0, ANA, "Start the shop with a catalogue", {"README.md": "# Hedgerow shop\n", "shop/__init__.py": ""}),
    SampleCommit(3, ANA, "Describe books and find them", {"shop/catalogue.py": CATALOGUE}),
    SampleCommit(9, TOMAS, "Add a cart", {"shop/cart.py": CART_FIRST, "README.md": SHOP_README}),
    SampleCommit(30, TOMAS, "Add payment", {"shop/payment.py": PAYMENT, "Makefile": "test:\n\tpython -m unittest\n"}),
    SampleCommit(
        61, ANA, "Charge for shipping, and test the cart", {"shop/cart.py": CART, "tests/test_cart.py": TEST_CART}
    ),
    SampleCommit(
        118,
        TOMAS,
        "Run the tests in CI instead of make",
        {"Makefile": None, ".ci.toml": '[test]\ncommand = "python -m unittest"\n'},
    ),
    SampleCommit(
        140,
        ANA,
        "Show the sheet of Safari above the fold",
        {"shop/payment.py": PAYMENT.replace('        return "apple"', '        return "apple-top"')},
        branch="fix/safari-payment-sheet",
    ),
)

API = (
    SampleCommit(
        5,
        TOMAS,
        "Start the API",
        {
            "README.md": "# Hedgerow API\n\nServes books to the shop and the app. Start it with `python serve.py`.\n",
            "api/__init__.py": "",
        },
    ),
    SampleCommit(
        44,
        ANA,
        "Serve the stock of a book",
        {
            "api/stock.py": '"""Stock by ISBN."""\n\nSTOCK: dict[str, int] = {}\n\n\ndef left(isbn: str) -> int:\n'
            "    # TODO: count reserved books as well\n    return STOCK.get(isbn, 0)\n",
            "api/accounts.py": '"""Accounts of readers."""\n\n\ndef delete(account: str) -> list[str]:\n'
            '    # FIXME: the mail service still knows the address afterwards\n    return [f"orders/{account}"]\n',
        },
    ),
)

MOBILE = (
    SampleCommit(
        20,
        ANA,
        "Start the app",
        {
            "README.md": "# Hedgerow mobile\n\nThe wish list is in `src/wishlist.js`.\n",
            "src/wishlist.js": "// TODO: let people reorder it with the keyboard too\nexport const wishlist = [];\n",
        },
    ),
)

REPOSITORIES: dict[str, tuple[SampleCommit, ...]] = {
    "hedgerow/shop": SHOP,
    "hedgerow/api": API,
    "hedgerow/mobile": MOBILE,
}
"""By the names that the tasks of a new workspace use."""
