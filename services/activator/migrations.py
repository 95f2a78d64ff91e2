"""The tables of the activator, in numbered steps; a step that was released never changes."""

STEPS = (
    """
    create table activator.profiles (
        profile_id text primary key,
        version bigint not null,
        updated_at timestamptz not null,
        identifiers jsonb not null,
        traits jsonb not null,
        consent jsonb not null,
        memberships text[] not null,
        merged_into text
    );
    create table activator.memberships (
        segment_id text not null,
        profile_id text not null,
        member boolean not null,
        sequence bigint not null,
        segment_version bigint not null,
        occurred_at timestamptz not null,
        decided_at timestamptz not null,
        cause text not null,
        cause_id text not null,
        primary key (segment_id, profile_id)
    );
    create index memberships_of_profile on activator.memberships (profile_id);
    create index members on activator.memberships (segment_id) where member;

    create sequence activator.arrivals;
    create table activator.ledger (
        destination_id text not null,
        audience_id text not null,
        profile_id text not null,
        version bigint not null,
        member boolean,
        operation text not null,
        idempotency_key text not null,
        outcome text,
        reason text,
        attempts integer not null default 0,
        next_attempt_at timestamptz,
        waiting_since timestamptz,
        arrival bigint not null default nextval('activator.arrivals'),
        payload bytea,
        touched boolean not null default false,
        sent_version bigint,
        sent_identifiers jsonb,
        updated_at timestamptz not null,
        primary key (destination_id, audience_id, profile_id)
    );
    create index ledger_due on activator.ledger (destination_id, next_attempt_at)
        where next_attempt_at is not null;
    create index ledger_waiting on activator.ledger (destination_id, arrival)
        where outcome in ('retry', 'throttled', 'auth', 'config');

    create table activator.delivery_log (
        instance_id text not null,
        op text not null,
        change_id text not null,
        profile_id text not null,
        audience_id text,
        outcome text not null,
        reason text not null,
        http_status integer,
        vendor_request_id text,
        attempts integer not null,
        sent_at timestamptz,
        latency_ms integer,
        logged_at timestamptz not null
    );
    create index delivery_log_of_profile on activator.delivery_log (profile_id, logged_at);
    create index delivery_log_age on activator.delivery_log (logged_at);

    create table activator.destination_states (
        destination_id text primary key,
        state text not null,
        reason text not null,
        definition_version bigint not null,
        since timestamptz not null
    );
    """,
    """
    -- People who were erased, and what their destinations are still to be told.
    create table activator.erased (
        profile_id text primary key,
        settled boolean not null default false,
        at timestamptz not null default now()
    );
    create index erased_unsettled on activator.erased (profile_id) where not settled;
    create index profiles_merged_into on activator.profiles (merged_into)
        where merged_into is not null;
    create index ledger_of_profile on activator.ledger (profile_id);

    create table activator.removals (
        regulation_id text not null,
        destination_id text not null,
        audience_id text not null,
        profile_id text not null,
        version bigint not null,
        status text not null default 'RUNNING',
        reason text,
        finished_at timestamptz,
        primary key (regulation_id, destination_id, audience_id, profile_id)
    );
    create index removals_of_profile on activator.removals (profile_id);
    create index removals_running on activator.removals (destination_id) where status = 'RUNNING';
    """,
    """
    create table activator.vendor_ids (
        destination_id text not null,
        profile_id text not null,
        vendor_id text not null,
        primary key (destination_id, profile_id)
    );
    create table activator.audiences (
        destination_id text not null,
        audience_id text not null,
        vendor_id text not null,
        created_at timestamptz not null,
        primary key (destination_id, audience_id)
    );
    create table activator.jobs (
        destination_id text not null,
        job_id text not null,
        action text not null,
        variant text not null,
        created_at timestamptz not null,
        polls integer not null default 0,
        next_poll_at timestamptz not null,
        primary key (destination_id, job_id)
    );
    create index jobs_due on activator.jobs (destination_id, next_poll_at);
    create table activator.job_items (
        destination_id text not null,
        job_id text not null,
        place integer not null,
        profile_id text not null,
        attempts integer not null,
        touched boolean not null,
        reason text not null,
        payload bytea not null,
        foreign key (destination_id, job_id) references activator.jobs on delete cascade
    );
    create index job_items_of_job on activator.job_items (destination_id, job_id);
    create index job_items_of_profile on activator.job_items (profile_id);
    alter table activator.destination_states add column recheck_at timestamptz;
    alter table activator.ledger add column inherited_by text;
    update activator.ledger set sent_identifiers = null;
    """,
    """
    alter table activator.ledger add column first_sent_at timestamptz;
    """,
    """
    create table activator.ceilings (
        destination_id text not null,
        ceiling text not null,
        since timestamptz not null,
        calls integer not null,
        primary key (destination_id, ceiling, since)
    );
    """,
    """
    create table activator.pauses (
        destination_id text not null,
        name text not null,
        until timestamptz not null,
        primary key (destination_id, name)
    );
    """,
    """
    -- What a plain delivery changes stands in no index, and there is room for it beside what it
    -- replaces: so it touches none of them.
    alter table activator.ledger
        add column waits boolean not null generated always as
            (coalesce(outcome in ('retry', 'throttled', 'auth', 'config'), false)) stored,
        set (fillfactor = 50);
    drop index activator.ledger_waiting;
    create index ledger_waiting on activator.ledger (destination_id, arrival) where waits;
    drop index activator.delivery_log_age;
    create index delivery_log_age on activator.delivery_log using brin (logged_at);
    """,
    """
    -- What a platform counts as failed in a job without naming it.
    alter table activator.delivery_log add column detail text;
    """,
)
