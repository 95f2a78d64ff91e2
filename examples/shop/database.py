"""The shop's own PostgreSQL: customers and orders, which change beside what the tracker sees."""

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg

from examples.shop.receiver import Call
from examples.shop.traffic import ADA_USER

DOCUMENTS = Path(__file__).with_name("database.yaml")
SOURCE = "shop"
SEGMENT = "gold-shoppers"
CHANGE_EVERY_S = 0.4
ADA_AFTER_S = 26.0
"""By then she has ordered."""

_TABLES: tuple[LiteralString, ...] = (
    "create table customers (id text primary key, tier text not null)",
    "create table orders (id int, customer text, status text not null, primary key (id, customer))",
    "create publication afflux for table customers, orders",
)


@dataclass(frozen=True, slots=True)
class Content:
    """What the tables hold."""

    tiers: dict[str, str]
    """Customer → tier."""
    waiting: frozenset[str]
    """Customers with an order that is not shipped."""


class Database:
    """A database of its own on a server; `start` lets rows change until `stop`."""

    def __init__(self, server: str, dsn_file: Path, visitors: int, seed: int) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("create database shop")
        self._dsn = urlsplit(server)._replace(path="/shop").geturl()
        dsn_file.write_text(self._dsn, encoding="utf-8")
        self._users = [ADA_USER, *(f"user-{number}" for number in range(visitors))]
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._change, name="database")
        self._orders = 0
        self.changes = len(self._users)
        """Rows that were inserted or changed."""
        self.ada_at = 0
        """When Ada's row said gold, Unix milliseconds."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for statement in _TABLES:
                connection.execute(statement)
            with connection.cursor() as cursor:
                cursor.executemany(
                    "insert into customers values (%s, 'iron')", [(user,) for user in self._users]
                )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more changes; Ada's comes before, if it was not yet due."""
        self._stopping.set()
        self._thread.join()

    def content(self) -> Content:
        with psycopg.connect(self._dsn) as connection:
            tiers = connection.execute("select id, tier from customers").fetchall()
            waiting = connection.execute(
                "select distinct customer from orders where status = 'open'"
            ).fetchall()
        return Content(dict(tiers), frozenset(row[0] for row in waiting))

    def ada_took_ms(self, calls: list[Call]) -> int | None:
        """From her row to the platform; None when it was not told yet."""
        hers = [c for c in calls if c.audience_id == SEGMENT and ADA_USER in c.names and c.member]
        return hers[0].arrived_at - self.ada_at if hers and self.ada_at else None

    def _change(self) -> None:
        began = time.monotonic()
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stopping.wait(CHANGE_EVERY_S):
                self._one(connection)
                if not self.ada_at and time.monotonic() - began > ADA_AFTER_S:
                    self._ada(connection)
            if not self.ada_at:
                self._ada(connection)

    def _one(self, connection: psycopg.Connection) -> None:
        chance = self._random
        user = chance.choice(self._users[1:])
        match chance.choice(("tier", "order", "ship")):
            case "tier":
                done = connection.execute(
                    "update customers set tier = case tier when 'iron' then 'gold' else 'iron' end"
                    " where id = %s",
                    (user,),
                )
            case "order":
                self._orders += 1
                done = connection.execute(
                    "insert into orders values (%s, %s, 'open')", (self._orders, user)
                )
            case _:
                done = connection.execute(
                    "update orders set status = 'shipped' where id = %s and status = 'open'",
                    (chance.randint(1, self._orders + 1),),
                )
        self.changes += done.rowcount

    def _ada(self, connection: psycopg.Connection) -> None:
        connection.execute("update customers set tier = 'gold' where id = %s", (ADA_USER,))
        self.ada_at = round(time.time() * 1000)
        self.changes += 1
