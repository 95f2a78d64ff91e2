"""The tables of the identity graph, as numbered steps; a step that was released never changes."""

STEPS = (
    """
    create table identity.profiles (
        id text primary key,
        created_at bigint not null,
        source_id text not null,
        message_id text not null,
        merged_into text,
        merges integer not null default 0
    );
    create index profiles_merged_into on identity.profiles (merged_into)
        where merged_into is not null;

    create table identity.identifiers (
        type text,
        value text,
        profile_id text not null,
        first_seen bigint not null,
        last_seen bigint not null,
        source_id text not null,
        message_id text not null,
        primary key (type, value)
    );
    create index identifiers_profile on identity.identifiers (profile_id, type);

    create table identity.merges (
        merge_id text primary key,
        loser text not null,
        winner text not null,
        message_id text not null,
        at bigint not null
    );
    create index merges_loser on identity.merges (loser);

    create table identity.refusals (
        decision bytea,
        type text,
        value text,
        profile_id text not null,
        reason text not null,
        source_id text not null,
        message_id text not null,
        at bigint not null,
        primary key (decision, type, value)
    );
    create index refusals_identifier on identity.refusals (type, value);
    create index refusals_profile on identity.refusals (profile_id);

    create table identity.outbox (
        merge_id text primary key,
        worker integer not null,
        loser text not null,
        winner text not null,
        cause text not null,
        at bigint not null,
        written timestamptz not null default now()
    );
    """,
    """
    -- What must still be said is a merge, or, without a winner, an erasure.
    alter table identity.outbox rename column merge_id to id;
    alter table identity.outbox alter column winner drop not null;
    alter table identity.outbox add column destinations boolean;

    alter table identity.profiles add column erased_at bigint;
    create index merges_winner on identity.merges (winner);

    create table identity.erasures (
        erasure_id text primary key,
        regulation_id text not null,
        at bigint not null,
        profiles text[] not null,
        written timestamptz not null default now()
    );
    create index erasures_regulation on identity.erasures (regulation_id);

    create table identity.erased (
        digest bytea,
        type text,
        regulation_id text not null,
        at bigint not null,
        written timestamptz not null default now(),
        primary key (digest, type)
    );
    create index erased_regulation on identity.erased (regulation_id);
    """,
)
