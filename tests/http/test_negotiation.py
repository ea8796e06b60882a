"""Which form of an answer a client prefers, by its Accept header alone.

What belongs here: the header. What does not: what is sent, which has `test_error_pages`.
"""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from cancelweb._http.negotiation import _QUOTED, preferred

OFFERS = [("text/html",), ("application/problem+json", "application/json"), ("text/plain",)]
HTML, JSON, TEXT = range(3)

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

PREFERRED = {
    # Clients that do not say, or like nothing of what there is.
    "": HTML,
    "*/*": HTML,
    "image/png": HTML,
    "text/html;q=0, application/json;q=0, text/plain;q=0": HTML,
    # Browsers, axios, jQuery.
    CHROMIUM: HTML,
    "application/json, text/plain, */*": JSON,
    "application/json, text/javascript, */*; q=0.01": JSON,
    # One form.
    "application/json": JSON,
    "application/problem+json": JSON,
    "Application/JSON ; charset=utf-8": JSON,
    "application/*": JSON,
    "text/plain": TEXT,
    "text/*": HTML,
    # Qualities: the greatest counts, and the most exact range for each.
    "text/html;q=0.5, text/plain;q=0.6": TEXT,
    "text/html;q=0.5, text/plain; Q=0.6": TEXT,
    "text/html;level=1;q=0.5, text/plain;q=0.501": TEXT,
    "text/html, text/plain": HTML,
    "text/plain, text/html": HTML,
    "text/*;q=0.9, text/html;q=0.1, application/json;q=0.5": TEXT,
    "*/*, text/html;q=0": JSON,
    "*/*;q=0.1, text/*": HTML,
    "application/json;q=0.2, application/problem+json;q=0.7, text/html;q=0.5": JSON,
    "text/plain;q=0.1, text/plain;q=0.9, text/html;q=0.5": TEXT,
    "text/html;q=0, */*": JSON,
    "text/html;q=0.000, text/plain;q=0.001": TEXT,
    "text/plain;q=1.000, text/html;q=0.999": TEXT,
    # What is malformed is left out.
    "text/html;q=2, text/plain;q=0.1": TEXT,
    "text/html;q=nan, text/plain;q=0.1": TEXT,
    "text/html;q=0.12345, text/plain;q=0.1": TEXT,
    "text/html;q=, text/plain;q=0.1": TEXT,
    "html, text/plain;q=0.1": TEXT,
    ",, ;q=1, text/plain;q=0.1 ,": TEXT,
    'text/html;a="x, text/plain;q=1";q=0.1, application/json;q=0.2': JSON,
    'text/html;a="\\"";q=0.1, text/plain;q=0.2': TEXT,
    'text/html;a="': HTML,
    'text/html;q=0.1;a="x, text/plain': HTML,
    'text/html;q=0.1;a="x\\': HTML,
    "\xff/\xff": HTML,
}

UNASKED = ("", "*/*")
"""What clients send that ask for nothing in particular."""

ASKED_FOR_SOME = {
    # Nothing in particular besides what they name is liked as much.
    "image/png": TEXT,
    "text/html;q=0, application/json;q=0, text/plain;q=0": TEXT,
    "*/*, text/html;q=0": TEXT,
    "text/html;q=0, */*": TEXT,
    "\xff/\xff": TEXT,
}
"""What else has the form for these: it names none of the forms, or only forms that it dislikes."""


class AcceptTests(SynchronousTestCase):
    """The client gets the form that it asks for."""

    def test_each(self) -> None:
        """Accept headers of real clients, and odd ones, get the form that they prefer."""
        for accept, form in PREFERRED.items():
            self.assertEqual(preferred([accept.encode("latin-1")], OFFERS), form, accept)

    def test_otherwise(self) -> None:
        """The form for clients that ask for nothing in particular goes to no other clients."""
        for accept in (*UNASKED, "image/png", "text/html;q=0.5, */*"):
            self.assertEqual(preferred([accept.encode()], OFFERS, TEXT), TEXT, accept)
        for accept, form in PREFERRED.items():
            if accept not in UNASKED:
                found = preferred([accept.encode("latin-1")], OFFERS, TEXT)
                self.assertEqual(found, ASKED_FOR_SOME.get(accept, form), accept)

    def test_no_header(self) -> None:
        """A client without an Accept header gets the first form."""
        self.assertEqual(preferred([], OFFERS), HTML)

    def test_several_headers(self) -> None:
        """Several Accept headers count as one list."""
        self.assertEqual(preferred([b"text/html;q=0.5", b"text/plain"], OFFERS), TEXT)


class AcceptIsReadOnceTests(SynchronousTestCase):
    """An Accept header cannot keep the reactor busy, since no text of it is read twice."""

    def test_a_quote_that_nothing_closes(self) -> None:
        """A quoted string ends at its closing quote, or else at the end of the header."""
        for pieces in product('"', *['"\\,\n'] * 5):
            text = "".join(pieces)
            found = _QUOTED.match(text)
            self.assertIsNotNone(found, repr(text))
            assert found is not None
            is_closed = found.group().endswith('"') and found.end() > 1
            self.assertTrue(is_closed or found.end() == len(text), repr(text))

    def test_nothing_is_given_back(self) -> None:
        """The only loop in the pattern of quoted strings is possessive."""
        self.assertEqual([_QUOTED.pattern.count(each) for each in ("*", "*+")], [1, 1])

    def test_a_header_that_is_too_long(self) -> None:
        """An Accept header of more than 4,096 characters is not read."""
        wanted = b"text/plain" + b" " * (4096 - len("text/plain"))
        self.assertEqual(preferred([wanted], OFFERS), TEXT)
        self.assertEqual(preferred([wanted + b" "], OFFERS), HTML)
        self.assertEqual(preferred([b"text/plain", wanted], OFFERS, JSON), JSON)
