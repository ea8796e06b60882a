"""The numbers of the status page in words, and over time.

What belongs here: functions of numbers. What does not: the page.
"""

from twisted.trial.unittest import SynchronousTestCase

from cancelweb.status._history import GAP, SECONDS, History
from cancelweb.status._words import brief, duration, number, percent, several, span


class ChartTests(SynchronousTestCase):
    """The charts of the numbers over time."""

    def setUp(self) -> None:
        self.history = History()

    def test_in_flight(self) -> None:
        """The chart has a point for each sample, the last one as now, and the greatest on top."""
        for second, count in enumerate([0, 5, 10]):
            self.history.note(second, count, 0)
        line = self.history.in_flight()
        self.assertEqual((line.now, line.most), (10, 10))
        self.assertEqual(line.drawn(2), [[(118.0, 39.0), (119.0, 20.0), (120.0, 1.0)]])

    def test_cancelled(self) -> None:
        """The chart of cancels has the rate between each two samples."""
        for second, count in [(0, 100), (2, 104), (3, 104)]:
            self.history.note(second, 0, count)
        self.assertEqual(self.history.cancelled().runs, [[(2, 2.0), (3, 0.0)]])

    def test_gap(self) -> None:
        """A chart has no line where samples are too far apart."""
        for second in [0, 1, 2 + GAP, 3 + GAP]:
            self.history.note(second, 1, 0)
        self.assertEqual([len(run) for run in self.history.in_flight().runs], [2, 2])
        self.assertEqual([len(run) for run in self.history.cancelled().runs], [1, 1])

    def test_is_bounded(self) -> None:
        """Samples that are older than the chart is wide are forgotten."""
        for second in range(3 * SECONDS):
            self.history.note(second, 1, 0)
        (run,) = self.history.in_flight().runs
        self.assertEqual(len(run), SECONDS + 1)

    def test_clock_that_is_put_back(self) -> None:
        """Samples in the future of a clock that was put back are forgotten."""
        self.history.note(100, 7, 0)
        self.history.note(50, 1, 0)
        self.assertEqual(self.history.in_flight().runs, [[(50, 1)]])


class WordsTests(SynchronousTestCase):
    """Numbers as words for people."""

    def test_duration(self) -> None:
        """A duration has one or two units, and no more digits than are of use."""
        for seconds, words in [
            (-0.001, "0.0 s"),
            (0.44, "0.4 s"),
            (9.94, "9.9 s"),
            (9.99, "9 s"),
            (12.9, "12 s"),
            (60, "1 min 0 s"),
            (185, "3 min 5 s"),
            (7450, "2 h 4 min"),
        ]:
            self.assertEqual(duration(seconds).replace("\xa0", " "), words)

    def test_brief(self) -> None:
        """A time below a tenth of a second is in milliseconds."""
        for seconds, words in [
            (0, "0 ms"),
            (0.0042, "4 ms"),
            (0.0996, "0.1 s"),
            (75, "1 min 15 s"),
        ]:
            self.assertEqual(brief(seconds).replace("\xa0", " "), words)

    def test_percent(self) -> None:
        """A part is rounded to whole percents, but not to nothing or to all."""
        for share, words in [
            (0, "0%"),
            (0.0001, "<1%"),
            (0.01, "1%"),
            (0.555, "56%"),
            (0.9999, "99%"),
            (1, "100%"),
        ]:
            self.assertEqual(percent(share), words)

    def test_several(self) -> None:
        """A number has its noun in the singular or the plural."""
        for count, words in [(0, "0 cats"), (1, "1 cat"), (2000, "2,000 cats")]:
            self.assertEqual(several(count, "cat", "cats"), words)

    def test_span(self) -> None:
        """The length of a period is in one unit."""
        for seconds, words in [
            (0.4, "0 s"),
            (59, "59 s"),
            (119, "1 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (86400 * 2, "2 days"),
        ]:
            self.assertEqual(span(seconds).replace("\xa0", " "), words)

    def test_number(self) -> None:
        """A number has commas between thousands, and a fraction only if it is small."""
        for value, words in [(0, "0"), (0.5, "0.5"), (12.4, "12"), (5000, "5,000")]:
            self.assertEqual(number(value), words)
