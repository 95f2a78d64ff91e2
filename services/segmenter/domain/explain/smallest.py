"""The fewest leaves that would have to turn for a condition to turn."""

from collections.abc import Mapping
from functools import cache

from services.segmenter.domain.explain.node import Node

Goal = tuple[Node, bool]
Goals = tuple[Goal, ...]
Chosen = Mapping[int, bool]
PATIENCE = 20_000
"""Steps of the search. Where no leaf is asked twice, the first way found is the shortest."""
NEVER = 10**6


def smallest_change(tree: Node, now: int) -> tuple[Node, ...] | None:
    """The leaves to turn; None when nothing was found that can happen and turns the condition."""
    search = Search(now)
    wanted = not tree.holds_at(now)
    if search.cost(tree, wanted) < NEVER or _repeats(tree):
        search.look(((tree, wanted),), {})
    if search.best is None:
        return None
    turned = {key for key in search.best if search.best[key] is not search.present[key]}
    return tuple({leaf.key: leaf for leaf in tree.leaves() if leaf.key in turned}.values())


def can_turn(leaf: Node, now: int) -> bool:
    """Whether something that may happen, or time, turns the leaf."""
    reading = leaf.reading
    return reading is not None and (
        reading.turn is not None or reading.next_change(now) is not None
    )


class Search:
    """Takes the cheapest branch first and gives up those that cost more than the best."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.best: Chosen | None = None
        self.present: dict[int, bool] = {}
        self._least = NEVER
        self._steps = 0
        self.cost = cache(self._cost)

    def look(
        self, goals: Goals, chosen: Chosen, cost: int = 0, met: frozenset[Goal] = frozenset()
    ) -> None:
        """Reach all goals but those `met` already, each leaf being what was chosen for it."""
        ahead, chosen = [goal for goal in goals if goal not in met], dict(chosen)
        while ahead:
            self._steps += 1
            if cost >= self._least or self._steps > self._most:
                return
            node, wanted = ahead.pop()
            if node.kind == "leaf":
                cost += self._price(node, wanted, chosen)
                chosen[node.key] = wanted
                continue
            ways, met = self._ways(node, wanted), met | {(node, wanted)}
            if len(ways) != 1:
                for way in ways:
                    self.look((*ahead, *way), chosen, cost, met)
                return
            ahead.extend(ways[0])
        if cost < self._least:
            self.best, self._least = chosen, cost

    @property
    def _most(self) -> int:
        """Steps: more of them as long as nothing was found at all."""
        return PATIENCE if self.best is not None else 10 * PATIENCE

    def _price(self, leaf: Node, wanted: bool, chosen: Chosen) -> int:
        """What it costs to have a leaf so; it cannot be both."""
        known = chosen.get(leaf.key)
        if known is None:
            return self.cost(leaf, wanted)
        return 0 if known is wanted else NEVER

    def _ways(self, node: Node, wanted: bool) -> list[Goals]:
        """The goals below a node: all of its members, or one of them, the cheapest first."""
        below = wanted is not (node.kind == "not")
        goals = tuple((member, below) for member in node.members)
        if not goals and wanted:
            return []
        if (node.kind == "all" and not wanted) or (node.kind == "any" and wanted):
            return [(goal,) for goal in sorted(goals, key=lambda goal: self.cost(*goal))]
        return [goals]

    def _cost(self, node: Node, wanted: bool) -> int:
        """Leaves to turn, were each asked once only."""
        if node.kind == "leaf":
            present = self.present.setdefault(node.key, node.holds_at(self.now))
            return 0 if present is wanted else 1 if can_turn(node, self.now) else NEVER
        ways = [sum(self.cost(*goal) for goal in way) for way in self._ways(node, wanted)]
        return min(NEVER, min(ways, default=NEVER))


def _repeats(tree: Node) -> bool:
    keys = [leaf.key for leaf in tree.leaves()]
    return len(keys) > len(set(keys))
