"""ShownItems: how tall each item is, which are folded, and the layouts of those in view. No widget."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from app.core.runs.items import ToolCall
from app.ui.transcript.card_words import tr
from app.ui.transcript.cards import card_of
from app.ui.transcript.drawn import DrawnItem, Look, with_late_words
from app.ui.transcript.estimates import Estimates
from app.ui.transcript.heights import Heights
from app.ui.transcript.layouts import Layouts

if TYPE_CHECKING:
    from app.ui.transcript.source import ItemSource

# So many of the last items are taken in at once, and so many of the others between two looks at the clock.
AT_ONCE, STEP = 400, 100
# So many more are taken in by one call, in 6 ms. Of more than that, the first get their estimates later.
MOST_ADDED = 4_000
# Deeper sub-agents are indented no further.
DEEPEST = 3


class ShownItems:
    """The items of a source as they stand below each other. `heights` are estimates until an item was laid out."""

    def __init__(self) -> None:
        self.heights = Heights()
        self.source: ItemSource | None = None
        self._look = Look(0, 96)
        self._estimates = Estimates(0)
        self._layouts = Layouts()
        # What the person folded or opened, by key.
        self._open: dict[str, bool] = {}
        # The key of the last item that was taken in.
        self._last_key = ""
        # The places of the items of each sub-agent, by the key of its call.
        self._children: dict[str, set[int]] = {}
        # So many items from the first on have no estimate of their own yet.
        self._unestimated = 0

    def __len__(self) -> int:
        return len(self.heights)

    def set_source(self, source: ItemSource | None) -> None:
        """Show another transcript, or none."""
        self.source = source
        self._open.clear()
        self._layouts.clear()
        self.begin_again()

    def set_look(self, look: Look) -> bool:
        """Lay out for another width or screen. Returns whether the heights are estimates for a former width."""
        if look == self._look:
            return False
        another = look.width != self._look.width
        self._look = look
        self._estimates = Estimates(look.width)
        return another

    def theme_changed(self) -> None:
        """Lay everything out again."""
        self._layouts.clear()
        self._estimates = Estimates(self._look.width)
        self.begin_again()

    def doubt(self) -> None:
        """Items were read again, or changed while nobody followed: compare them before a layout is used again."""
        self._layouts.doubt()

    def begin_again(self) -> None:
        """Take everything in anew: the last items at once, the others in `estimate_more`."""
        self._children.clear()
        self._unestimated = max(0, (len(self.source) if self.source is not None else 0) - AT_ONCE)
        self.heights.fill(self._unestimated, self._estimates.usual)
        self.take_in()

    def estimate_again(self) -> None:
        """The estimates are those of another width: `estimate_more` makes them anew."""
        self._unestimated = len(self.heights)

    def estimate_more(self, seconds: float) -> bool:
        """Estimate the heights of further items, from the end. Returns whether any are left."""
        until = perf_counter() + seconds
        while self._unestimated and perf_counter() < until:
            last = self._unestimated
            self._unestimated = max(0, last - STEP)
            for place in range(last - 1, self._unestimated - 1, -1):
                if self.laid_out(place) is None:
                    self.heights.set(place, self._estimated(place))
        return self._unestimated > 0

    def take_in(self) -> int:
        """Take in what the source has more of. Returns how many items it is."""
        source = self.source
        if source is None:
            return 0
        first, last = len(self.heights), len(source)
        self.heights.extend(map(self._estimated, range(first, last)))
        self._last_key = source.head(last - 1).key if last else ""
        return last - first

    @property
    def continues(self) -> bool:
        """Whether the source still has the items that were taken in, where they were, and not too many more."""
        taken = len(self.heights)
        if self.source is None:
            return True
        if len(self.source) - taken > MOST_ADDED:
            return False
        if not taken:
            return True
        return taken <= len(self.source) and self.source.head(taken - 1).key == self._last_key

    def key(self, place: int) -> str:
        """The key of an item."""
        return self._source.head(place).key

    def place_of(self, key: str) -> int:
        """Where an item is; -1 if it is not there."""
        found = self._source.index_of(key) if self.source is not None else None
        return found if found is not None and found < len(self) else -1

    def is_hidden(self, place: int) -> bool:
        """Whether an item belongs to a sub-agent that is folded."""
        parent = self._source.head(place).parent
        for _ in range(DEEPEST + 1):
            if not parent:
                return False
            if not self._open.get(parent, False):
                # Of a call that is not there nothing can be opened.
                return self._source.index_of(parent) is not None
            above = self._source.index_of(parent)
            parent = self._source.head(above).parent if above is not None else ""
        return False

    def is_open(self, place: int) -> bool:
        """Whether an item shows its parts."""
        head = self._source.head(place)
        found = self._open.get(head.key)
        return card_of(self._source.shown(place)).open_first if found is None else found

    def folds(self, place: int) -> bool:
        """Whether an item can be folded."""
        return card_of(self._source.shown(place)).folds

    def set_open(self, place: int, is_open: bool) -> None:
        """Fold or open an item; what belongs to it is shown with it."""
        key = self.key(place)
        self._open[key] = is_open
        for child in self._children.get(key, ()):
            self.heights.set(child, self._estimate(child))
            nested = self.key(child)
            if self._open.get(nested) and self._children.get(nested):
                self.set_open(child, True)

    def reveal(self, place: int) -> None:
        """Open the sub-agents that an item belongs to."""
        parent = self._source.head(place).parent
        above = self._source.index_of(parent) if parent else None
        if above is not None and above != place:
            self.reveal(above)
            if not self._open.get(parent):
                self.set_open(above, True)

    def laid_out(self, place: int) -> DrawnItem | None:
        """The layout of an item if it is there and as the item is now."""
        head = self._source.head(place)
        kept = self._layouts.former(head.key)
        if kept is None:
            return None
        is_open = self._open.get(head.key, kept.is_open)
        look = self._look_of(place)
        return self._layouts.get(head.key, head.revision, look, lambda: self._source.shown(place), is_open=is_open)

    def lay_out(self, place: int) -> DrawnItem:
        """The layout of an item. Its height is exact from then on."""
        source = self._source
        head = source.head(place)
        found = self.laid_out(place)
        if found is None:
            item = source.shown(place)
            card = card_of(item)
            children = len(self._children.get(head.key, ()))
            if children and isinstance(item, ToolCall):
                steps = tr("{0} steps").format(children) if children > 1 else tr("1 step")
                card = card._replace(detail=f"{card.detail} · {steps}" if card.detail else steps, folds=True)
            is_open = self._open.get(head.key, card.open_first)
            former = self._layouts.former(head.key)
            card = with_late_words(card, is_open=is_open)
            found = DrawnItem(card, self._look_of(place), is_open=is_open, former=former)
            self._layouts.put(head.key, head.revision, item, found)
        self.heights.set(place, found.height)
        return found

    @property
    def _source(self) -> ItemSource:
        if self.source is None:
            raise LookupError("there is no transcript")
        return self.source

    def _look_of(self, place: int) -> Look:
        depth, parent = 0, self._source.head(place).parent
        while parent and depth < DEEPEST:
            depth += 1
            above = self._source.index_of(parent)
            parent = self._source.head(above).parent if above is not None else ""
        return self._look._replace(depth=depth) if depth else self._look

    def _estimated(self, place: int) -> int:
        parent = self._source.head(place).parent
        if parent:
            self._children.setdefault(parent, set()).add(place)
            # Its head says how many they are.
            self._layouts.drop(parent)
        return self._estimate(place)

    def _estimate(self, place: int) -> int:
        head = self._source.head(place)
        return 0 if head.parent and self.is_hidden(place) else self._estimates.of(head)
