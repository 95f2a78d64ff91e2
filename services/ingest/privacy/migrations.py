"""The tables of the management listener, in numbered steps; a released step never changes."""

STEPS = (
    """
    create table privacy.regulations (
        number bigint generated always as identity unique,
        id text primary key,
        source_id text,
        regulation_type text not null,
        subject_type text not null,
        subjects text[] not null,
        status text not null default 'INITIALIZED',
        created_at timestamptz not null default now(),
        erases_until bigint,
        finished_at timestamptz
    );
    create index regulations_open on privacy.regulations (number)
        where status in ('INITIALIZED', 'RUNNING');

    create table privacy.suppressions (
        source_id text not null,
        subject_type text not null,
        subject_id text not null,
        primary key (source_id, subject_type, subject_id)
    );

    -- Partitions of the dead letters that are being written again without somebody.
    create table privacy.rewrites (
        partition integer primary key,
        until_offset bigint not null,
        mark text not null
    );
    """,
)
