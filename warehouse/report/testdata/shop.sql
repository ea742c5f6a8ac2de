-- A shop small enough to be added up by hand. The cut is at 2026-11-23 06:15.
-- Nobody buys 4, 5 is deleted, and what 6 has lost belongs to a checkout that is under way.
insert into books values
    (1, 'War and Peace', ['Leo Tolstoy'], 'en', 1000, 'EUR', '2025-01-01', null),
    (2, '吾輩は猫である', ['夏目漱石'], 'ja', 900, 'JPY', '2025-02-01', null),
    (3, 'Good Omens', ['Terry Pratchett', 'Neil Gaiman', 'Neil Gaiman'], 'en', 500, 'EUR', '2025-03-01', null),
    (4, 'Unsold', ['Nobody'], null, 100, 'EUR', '2026-11-13 06:15', null),
    (5, 'Deleted', ['Leo Tolstoy'], null, 2000, 'EUR', '2025-01-01', '2026-11-10'),
    (6, 'Young', ['Ann'], 'de', 700, 'EUR', '2026-11-13 06:15', null);

create macro o(n) as cast(format('00000000-0000-7000-8000-{:012d}', n) as uuid);
insert into orders values
    (o(1), 'alice', 'placed', 2500, 'EUR', '2026-11-01 23:30'), -- the next day in Berlin
    (o(2), 'bob', 'paid', 1500, 'EUR', '2026-11-02 10:00'),
    (o(3), 'alice', 'cancelled', 5000, 'EUR', '2026-11-02 11:00'),
    (o(4), 'carol', 'returned', 1000, 'EUR', '2026-11-04 12:00'),
    (o(5), 'bob', 'placed', 2700, 'JPY', '2026-11-04 13:00'),
    (o(6), 'alice', 'paid', 2000, 'EUR', '2026-11-05 09:00'),
    (o(7), 'alice', 'placed', 1000, 'EUR', '2026-09-15 09:00'),
    (o(8), 'dave', 'returned', 1000, 'EUR', '2026-11-08 06:15'), -- its money is not back yet
    (o(9), 'erin', 'placed', 500, 'EUR', '2026-09-20 09:00');
insert into order_items values
    (o(1), 1, 1, '', 2, 1000), (o(1), 2, 3, '', 1, 500),
    (o(2), 1, 3, '', 1, 500), (o(2), 2, 1, '', 1, 1000),
    (o(3), 1, 1, '', 3, 1000), (o(3), 2, 5, '', 1, 2000),
    (o(4), 1, 3, '', 2, 500), (o(5), 1, 2, '', 3, 900), (o(6), 1, 5, '', 1, 2000),
    (o(7), 1, 1, '', 1, 1000), (o(8), 1, 1, '', 1, 1000), (o(9), 1, 3, '', 1, 500);

insert into stock_movements values
    (1, 1, 20, 'initial', '2025-01-01'), (2, 1, -1, 'order', '2026-09-15 09:00'), (3, 1, -2, 'order', '2026-11-01 23:30'),
    (4, 1, -1, 'checkout', '2026-11-02 10:00'), (5, 1, -3, 'order', '2026-11-02 11:00'), (6, 1, 3, 'cancel', '2026-11-02 12:00'),
    (7, 1, -1, 'checkout', '2026-11-08 06:15'), (8, 1, 4, 'adjust', '2026-11-13 06:15'),
    (9, 2, 3, 'initial', '2025-02-01'), (10, 2, -3, 'order', '2026-11-04 13:00'),
    (11, 3, 50, 'initial', '2025-03-01'), (12, 3, -1, 'order', '2026-09-20 09:00'), (13, 3, -1, 'order', '2026-11-01 23:30'),
    (14, 3, -1, 'checkout', '2026-11-02 10:00'), (15, 3, -2, 'checkout', '2026-11-04 12:00'), (16, 3, 2, 'return', '2026-11-13 06:15'),
    (17, 4, 6, 'initial', '2026-11-13 06:15'), (18, 5, 9, 'initial', '2025-01-01'),
    (19, 6, 10, 'initial', '2026-11-13 06:15'), (20, 6, -5, 'checkout', '2026-11-18 06:15');

-- 9 is captured and has no order yet; 10 never came so far.
insert into payments select o(100 + n), o(n), cents, 'EUR', state, created from (values
    (2, 1500, 'captured', timestamptz '2026-11-02 10:00:01'), (4, 1000, 'refunded', '2026-11-04 12:00:01'),
    (6, 2000, 'captured', '2026-11-05 09:00:01'), (8, 1000, 'captured', '2026-11-08 06:15:01'),
    (90, 700, 'captured', '2026-11-18 06:15:01'), (91, 300, 'voided', '2026-11-18 07:00')) as p (n, cents, state, created);
insert into ledger_entries
    select row_number() over (), p.id, m.account, m.sign * p.amount_cents, m.operation
    from payments p join (values ('authorise', 'customer', -1), ('authorise', 'held', 1), ('capture', 'held', -1), ('capture', 'merchant', 1),
        ('refund', 'merchant', -1), ('refund', 'customer', 1), ('void', 'held', -1), ('void', 'customer', 1)) as m (operation, account, sign)
    on m.operation = 'authorise' or (m.operation = 'capture' and p.state in ('captured', 'refunded'))
        or (m.operation = 'refund' and p.state = 'refunded') or (m.operation = 'void' and p.state = 'voided');

create macro step(name, state) as format('{{"name":"{}","state":"{}","attempts":1,"startedAt":"2026-11-02T10:00:00Z"}}', name, state);
insert into sagas select o(200 + n), definition, state, steps, cause, begun, begun + seconds * interval '1 second' from (values
    (1, 'checkout', 'completed', '[' || step('reserve_stock', 'done') || ']', null, timestamptz '2026-11-02', 1),
    (2, 'checkout', 'failed', '[' || step('reserve_stock', 'compensated') || ',' || step('authorise', 'refused') || ']',
        '{"code":"payment_declined","message":"no"}', '2026-11-02', 2),
    (3, 'checkout', 'failed', '[' || step('reserve_stock', 'compensated') || ',' || step('authorise', 'refused')
        || ',{"name":"capture","state":"pending","attempts":0}]', '{"code":"payment_declined"}', '2026-11-03', 4),
    (4, 'checkout', 'cancelled', '[' || step('reserve_stock', 'compensated') || ',' || step('approval', 'compensated')
        || ',{"name":"capture","state":"pending","attempts":0}]', '{"code":"cancelled"}', '2026-11-03', 60),
    (5, 'checkout', 'failed', '[]', '{"code":"out_of_stock"}', '2026-11-03', 0),
    (6, 'checkout', 'failed', '[' || step('approval', 'compensated') || ']', '{"code":"deadline_exceeded"}', '2026-11-04', 3600),
    (7, 'checkout', 'stuck', '[' || step('capture', 'running') || ']', '{"code":"unavailable"}', '2026-11-04', null),
    (8, 'return', 'failed', '[' || step('mark_returned', 'refused') || ']', '{"code":"not_returnable"}', '2026-11-04', 1),
    (9, 'checkout', 'failed', '[]', '{"code":"out_of_stock"}', '2026-09-01', 0)) as s (n, definition, state, steps, cause, begun, seconds);
