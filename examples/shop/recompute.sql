-- Who belongs to which audience at the instant $now, from the accepted events and the shop's rows.
-- Table `events`: message_id, name (of a track; '$page' for pages), anonymous_id, user_id,
-- happened_at (ms), properties and traits (JSON). `customers` and `waiting` are what the shop's own
-- database holds: tiers, and who has an open order.
create or replace temp table people as
with recursive
links as (
    select distinct 'a:' || anonymous_id as one, 'u:' || user_id as other
    from events where anonymous_id is not null and user_id is not null
),
names as (
    select 'a:' || anonymous_id as name from events where anonymous_id is not null
    union select 'u:' || user_id from events where user_id is not null
),
reach as (
    select name, name as reached from names
    union
    select reach.name, case when links.one = reached then links.other else links.one end
    from reach join links on reached in (links.one, links.other)
)
select name, min(reached) as person from reach group by name;

create or replace temp table facts as
select person, events.* from events
join people on people.name = coalesce('a:' || anonymous_id, 'u:' || user_id);

select 'abandoned-cart' as segment, person from facts checkout
where name = 'Checkout Started' and happened_at + 5000 <= $now
  and properties ->> 'cart_id' is not null
  and not exists (
    from facts later where later.person = checkout.person and later.name = 'Order Completed'
      and later.happened_at > checkout.happened_at and later.happened_at <= $now
      and later.properties ->> 'cart_id' = checkout.properties ->> 'cart_id')
union
select 'big-spenders', person from facts
where name = 'Order Completed' and happened_at > $now - 90 * 86400000::bigint and happened_at <= $now
group by person having sum((properties ->> 'total')::decimal(18, 6)) > 500
union
select 'active-now', person from facts
where name in ('$page', 'Product Viewed', 'Checkout Started', 'Order Completed')
  and happened_at > $now - 60000 and happened_at <= $now
union
select 'pro-plan', person from facts
where traits ->> 'plan' is not null and happened_at <= $now
group by person having arg_max(traits ->> 'plan', (happened_at, message_id)) = 'pro'
union
select 'gold-shoppers', person from facts
join customers on 'u:' || customers.id in (select name from people where people.person = facts.person)
where name = 'Order Completed' and happened_at > $now - 90 * 86400000::bigint and happened_at <= $now
  and tier = 'gold'
union
select 'waiting-visitors', person from facts
join waiting on 'u:' || waiting.id in (select name from people where people.person = facts.person)
where name = '$page' and happened_at > $now - 90 * 86400000::bigint and happened_at <= $now
order by all;
