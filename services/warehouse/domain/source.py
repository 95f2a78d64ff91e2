"""The workspace kind `source` of the types that read rows: what is connected to, and how."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.warehouse.domain.databricks import names as databricks
from services.warehouse.domain.debezium import PLACEHOLDER, Dialect, Format
from services.warehouse.domain.snowflake.names import parts_of


def _own_kafka(given: Any) -> None:
    if given is not None:
        raise ValueError(
            "this version reads Debezium's topics from the Kafka of Afflux itself; leave it out,"
            " and mirror the topics there if they are elsewhere"
        )


TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


AGAIN = "raise `generation` of the source to have its tables read anew"
"""What a person does where changes were lost."""
WITHOUT_HISTORY = "`mode: diff` needs no history"
"""The other way out."""
AskedMode = Literal["watermark", "diff"]
"""By SELECTs on a schedule, which need no history: `watermark` reads rows whose stamp is new and
compares everything now and then, `diff` compares everything."""
_OF_HISTORY = frozenset({"poll_seconds", "lag_seconds", "step_seconds"})


class WarehouseSource(BaseModel):
    """What all of them have."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: Literal["source"] = "source"
    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    description: str = ""
    type: str
    max_delete_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """A truncate, snapshot or comparison that would delete a larger share of the rows blocks the
    source; who raises it confirms the deletes."""
    enabled: bool = True


class TablesSource(WarehouseSource):
    """A warehouse: its tables are followed by their history, or asked as they are now."""

    mode: str
    query_timeout_s: int

    @property
    def is_asked(self) -> bool:
        """Whether its rows are asked for as they are now."""
        return self.mode in get_args(AskedMode)

    @property
    def run_timeout_s(self) -> int:
        """Where it is asked, of all queries of a run together."""
        return self.query_timeout_s

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        for field in sorted(_OF_HISTORY & self.model_fields_set):
            if self.is_asked:
                raise ValueError(
                    f"`{field}` is not for the mode {self.mode}: `every` of a model says how often"
                )
        return self


class DebeziumSource(WarehouseSource):
    """Which topics are read, and how the connector that fills them is set."""

    type: Literal["debezium"]
    bootstrap: Annotated[None, BeforeValidator(_own_kafka)] = None
    """Not yet: the topics lie in the Kafka of Afflux."""
    topics: Annotated[tuple[TopicName, ...], Field(min_length=1)]
    """One topic a table, keyed by row; heartbeat topics may stand here too."""
    format: Format = "debezium"
    """`debezium` for envelopes, `debezium_flat` for what ExtractNewRecordState leaves."""
    replica_identity: Literal["default", "full"] = "default"
    """`full` when the tables have REPLICA IDENTITY FULL: then deletes carry true old values."""
    placeholder: Annotated[str, Field(min_length=1)] = PLACEHOLDER
    """The connector's `unavailable.value.placeholder`."""

    def dialect(self) -> Dialect:
        return Dialect(
            source=self.id,
            format=self.format,
            full=self.replica_identity == "full",
            placeholder=self.placeholder,
        )


Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class PostgresSource(WarehouseSource):
    """A PostgreSQL database whose changes come by logical replication."""

    type: Literal["postgres"]
    dsn: Annotated[str, Field(min_length=1)]
    """Connection string, `env:NAME` or `file:PATH`. The role needs REPLICATION, and SELECT on the
    tables of the models."""
    publication: Annotated[str, Field(min_length=1, max_length=63)]
    """Made by the administrator of the database: `afflux source check` prints the statement."""
    slot: Identifier | None = None
    """Name of our replication slot; `afflux_` and the id where it is left out."""
    mode: Literal["poll", "stream"] = "poll"
    """`poll` asks by SQL every `poll_ms`; `stream` holds a replication connection open."""
    replica_identity: Literal["default", "full"] = "default"
    """`full` when the tables have REPLICA IDENTITY FULL: then deletes carry true old values."""
    poll_ms: Annotated[int, Field(ge=10, le=60_000)] = 250
    poll_changes: Annotated[int, Field(ge=10_000, le=100_000)] = 50_000
    """Most changes of a poll; a transaction is never divided."""
    chunk_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """Rows that a snapshot reads at once."""
    snapshot_wal_bytes: Annotated[int, Field(ge=1)] | None = None
    """Log that the slot may hold back during a snapshot; beyond it the source blocks."""
    wal_alert_bytes: Annotated[int, Field(ge=1)] = 1 << 30
    """Log held back by the slot from which on it is an alarm."""
    wal_drop_bytes: Annotated[int, Field(ge=1)] | None = None
    """Beyond it the slot is dropped: the database's disk matters more. Off unless it is set."""
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every table read anew, after the slot was lost."""

    @property
    def slot_name(self) -> str:
        return self.slot or f"afflux_{self.id.replace('-', '_')}"[:63]


class SqlSource(WarehouseSource):
    """A database that is asked by the SELECTs of its models."""

    type: Literal["sql"]
    engine: Literal["postgres", "duckdb"]
    dsn: Annotated[str, Field(min_length=1)] | None = None
    """Of postgres: connection string, `env:NAME` or `file:PATH`. The role needs SELECT."""
    path: Annotated[str, Field(min_length=1)] | None = None
    """Of duckdb: the database's file, which is opened to be read only while a query runs."""
    run_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    """A run that takes longer is cut short and repeated."""
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every row read anew."""

    @model_validator(mode="after")
    def _fits_its_engine(self) -> Self:
        wanted = "dsn" if self.engine == "postgres" else "path"
        other = "path" if wanted == "dsn" else "dsn"
        if getattr(self, wanted) is None:
            raise ValueError(f"the engine {self.engine} needs `{wanted}`")
        if getattr(self, other) is not None:
            raise ValueError(f"`{other}` is not for the engine {self.engine}")
        return self


class DeltaSource(WarehouseSource):
    """Delta tables, whose changes come by their change data feed."""

    type: Literal["delta"]
    root: Annotated[str, Field(min_length=1)] | None = None
    """Path or address of an object store; the table of the relation `crm.customers` lies in
    `crm/customers` under it."""
    tables: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
    """Relation → path or address, for those that lie elsewhere."""
    storage_options: Mapping[str, str] = {}
    """What the object store wants, as `AWS_REGION`; keys and tokens as `env:NAME` or
    `file:PATH`."""
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] = 10
    step_versions: Annotated[int, Field(ge=1, le=1000)] = 20
    """Most versions that are read together."""
    rows_at_once: Annotated[int, Field(ge=1000)] = 50_000
    """Rows of the feed that are held in memory; where a step has more, its files are read several
    times, each time for other keys."""
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every table read anew, after versions of it were lost."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.root is None and not self.tables:
            raise ValueError("say where the tables are: `root`, or `tables`")
        return self

    def address(self, relation: str) -> str | None:
        """Of a relation's table."""
        under = (
            None if self.root is None else "/".join((self.root.rstrip("/"), *relation.split(".")))
        )
        return self.tables.get(relation, under)


class DatabricksSource(WarehouseSource):
    """Delta tables at Databricks, whose change data feed a SQL warehouse is asked for."""

    type: Literal["databricks"]
    host: Annotated[str, Field(min_length=1)]
    """Of the workspace, as `dbc-a1b2345c-d6e7.cloud.databricks.com`; this and the next two may be
    `env:NAME` or `file:PATH`."""
    http_path: Annotated[str, Field(min_length=1)]
    """Of the SQL warehouse, as `/sql/1.0/warehouses/a1b2c3d4e5f6a7b8`."""
    token: Annotated[str, Field(min_length=1)]
    """Personal access token of a service principal; looked up anew for every look."""
    catalog: Annotated[str, Field(min_length=1)]
    """Of Unity Catalog, or `hive_metastore`."""
    tables: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
    """Relation → `schema.table` or `catalog.schema.table`, for those with other names."""
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    step_versions: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most versions that a query spans."""
    rows_at_once: Annotated[int, Field(ge=1)] = 10_000
    """Most rows that are taken of an answer at once."""
    query_timeout_s: Annotated[int, Field(ge=1, le=172_800)] = 3600
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every table read anew, after versions of it were lost."""

    def address(self, relation: str) -> tuple[str, ...]:
        """Catalog, schema and name of a relation's table."""
        parts = databricks.parts_of(self.tables.get(relation, relation))
        return parts if len(parts) == 3 else (self.catalog, *parts)


class BigQuerySource(TablesSource):
    """Tables of BigQuery, whose changes are read by intervals of time."""

    type: Literal["bigquery"]
    project: Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,100}$")]
    """Who pays for the queries; the tables lie in it too, unless `tables` says otherwise."""
    location: Annotated[str, Field(min_length=1)]
    """Of the datasets, as `EU` or `europe-west3`."""
    mode: Literal["changes", "appends", "time_travel"] | AskedMode
    """`changes` wants `enable_change_history` of the table; `appends` sees only rows that are
    added; `time_travel` compares the whole table with its past; `watermark` and `diff` ask for the
    rows of tables, views and queries as they are now."""
    credentials: Annotated[str, Field(min_length=1)] | None = None
    """Key of a service account, the whole JSON as `env:NAME` or `file:PATH`."""
    api_endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """A private endpoint; without `credentials` it is asked without any."""
    tables: Mapping[str, Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+){1,2}$")]] = {}
    """Relation → `dataset.table` or `project.dataset.table`, for those with other names."""
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    lag_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """How far behind BigQuery's clock reading ends, for what is not seen at once: 660 for
    `changes`, else 10."""
    step_seconds: Annotated[int, Field(ge=1, le=604_800)] = 86_400
    """Longest interval that a query spans; time travel always spans all that is left."""
    rows_at_once: Annotated[int, Field(ge=1)] = 10_000
    """Rows of a page of an answer, and most that are held in memory."""
    maximum_bytes_billed: Annotated[int, Field(ge=1)] = 10 << 30
    """A query that would read more is refused by BigQuery, and costs nothing."""
    query_timeout_s: Annotated[int, Field(ge=1, le=21_600)] = 600
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every table read anew, after history of it was lost."""

    @model_validator(mode="after")
    def _says_who_asks(self) -> Self:
        if self.credentials is None and self.api_endpoint is None:
            raise ValueError("give the key of a service account: `credentials`")
        return self

    @property
    def history(self) -> Literal["changes", "appends", "time_travel"]:
        """How its tables are followed, where it is not asked."""
        match self.mode:
            case "watermark" | "diff":
                raise TypeError(f"the mode {self.mode} needs no history")
            case mode:
                return mode

    @property
    def lag(self) -> timedelta:
        """How far behind BigQuery's clock an interval ends."""
        given = self.lag_seconds
        return timedelta(seconds=_LAG_SECONDS[self.history] if given is None else given)

    @property
    def step(self) -> timedelta | None:
        """Longest interval of a query, if there is a longest."""
        return None if self.mode == "time_travel" else timedelta(seconds=self.step_seconds)

    def address(self, relation: str) -> tuple[str, ...]:
        """Project, dataset and name of a relation's table."""
        parts = tuple(self.tables.get(relation, relation).split("."))
        return parts if len(parts) == 3 else (self.project, *parts)


_LAG_SECONDS: Mapping[str, int] = MappingProxyType(
    {"changes": 660, "appends": 10, "time_travel": 10}
)


class SnowflakeSource(TablesSource):
    """Tables of Snowflake, whose changes are read by intervals of time."""

    type: Literal["snowflake"]
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,255}$")]
    """Its identifier, `organization-account`."""
    user: Annotated[str, Field(min_length=1)]
    role: Annotated[str, Field(min_length=1)] | None = None
    """The user's default role where it is left out."""
    warehouse: Annotated[str, Field(min_length=1)] | None = None
    """Runs the queries, and is paid for; the user's default where it is left out."""
    database: Annotated[str, Field(min_length=1)]
    """Upper case unless it is in quotes, like every name there."""
    private_key: Annotated[str, Field(min_length=1)] | None = None
    """Of the user, PEM, `env:NAME` or `file:PATH`."""
    private_key_passphrase: Annotated[str, Field(min_length=1)] | None = None
    """Where the key has one, `env:NAME` or `file:PATH`."""
    password: Annotated[str, Field(min_length=1)] | None = None
    """Instead of a key, `env:NAME` or `file:PATH`."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = None
    """Of a private link; else the account says where."""
    mode: Literal["changes", "time_travel"] | AskedMode
    """`changes` wants CHANGE_TRACKING of the table; `time_travel` compares the whole table with
    its past; `watermark` and `diff` ask for the rows of tables, views and queries as they are
    now."""
    tables: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
    """Relation → `schema.table` or `database.schema.table`, for those with other names."""
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    lag_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    """How far behind Snowflake's clock reading ends, for what is not seen at once."""
    rows_at_once: Annotated[int, Field(ge=1)] = 10_000
    """Most rows that are taken of an answer at once."""
    query_timeout_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    generation: Annotated[int, Field(ge=1)] = 1
    """Raised by a person to have every table read anew, after history of it was lost."""

    @model_validator(mode="after")
    def _says_who_asks(self) -> Self:
        if (self.private_key is None) == (self.password is None):
            raise ValueError("give the user's `private_key`, or its `password`")
        if self.private_key_passphrase is not None and self.private_key is None:
            raise ValueError("`private_key_passphrase` is for a `private_key`")
        return self

    @property
    def history(self) -> Literal["changes", "time_travel"]:
        """How its tables are followed, where it is not asked."""
        match self.mode:
            case "watermark" | "diff":
                raise TypeError(f"the mode {self.mode} needs no history")
            case mode:
                return mode

    def address(self, relation: str) -> tuple[str, ...]:
        """Database, schema and name of a relation's table, as they are written."""
        parts = parts_of(self.tables.get(relation, relation))
        return parts if len(parts) == 3 else (self.database, *parts)


AskedSource = SqlSource | BigQuerySource | SnowflakeSource
"""One whose models are asked by SELECTs: of the last two, in some of their modes."""

SOURCES: Mapping[str, type[WarehouseSource]] = MappingProxyType(
    {
        "debezium": DebeziumSource,
        "postgres": PostgresSource,
        "sql": SqlSource,
        "delta": DeltaSource,
        "databricks": DatabricksSource,
        "bigquery": BigQuerySource,
        "snowflake": SnowflakeSource,
    }
)
"""Type → its document."""
