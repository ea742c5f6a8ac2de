-- +goose Up

-- What people search is computed here, so that no writer can forget it. The
-- function is immutable in fact: array_to_string is only declared stable
-- because elements of other types may print differently from time to time.
-- +goose StatementBegin
create function words(texts text[]) returns tsvector
    language sql immutable parallel safe
    return to_tsvector('simple'::regconfig, array_to_string(texts, ' '));
-- +goose StatementEnd

create table books (
    id              bigint generated always as identity primary key,
    source_id       text check (source_id <> ''),
    isbn            text check (isbn ~ '^([0-9]{9}[0-9X]|[0-9]{13})$'),
    title           text not null check (char_length(title) between 1 and 500),
    authors         text[] not null check (cardinality(authors) between 1 and 50),
    published_year  integer,
    language        text check (language <> ''),
    price_cents     bigint not null check (price_cents between 0 and 100000000),
    currency        text not null check (currency ~ '^[A-Z]{3}$'),
    version         bigint not null default 1,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    deleted_at      timestamptz,
    -- The transaction of the last edit: a list that is being read page by page
    -- leaves out what its first page's snapshot does not show.
    edited_xid      xid8 not null default pg_current_xact_id(),
    -- Titles are sorted by their beginning, as people sort them; the bound
    -- keeps index rows and cursors small.
    title_key       text collate "und-x-icu" not null generated always as (left(title, 64)) stored,
    document        tsvector not null generated always as (words(array[title] || authors)) stored,
    author_document tsvector not null generated always as (words(authors)) stored
);

-- A deleted book frees its ISBN and its source id.
create unique index books_isbn on books (isbn) where deleted_at is null;
create unique index books_source_id on books (source_id) where deleted_at is null;

-- One index for each order of the list; the primary key serves id and newest.
create index books_by_title on books (title_key, id) where deleted_at is null;
create index books_by_price on books (price_cents, id) where deleted_at is null;
create index books_by_language on books (language text_pattern_ops, id) where deleted_at is null;
create index books_document on books using gin (document);
create index books_author_document on books using gin (author_document);

-- The hot rows, apart and narrow: an order rewrites 40 bytes, in place as long
-- as the page has room, and never the catalogue entry.
create table stock (
    book_id  bigint primary key references books,
    quantity bigint not null constraint stock_not_negative check (quantity >= 0),
    version  bigint not null default 1
) with (fillfactor = 70);

-- The ledger: stock.quantity is the sum of its book's deltas at any time.
-- No reference to books: checking one locks the book's row on every order,
-- and books are never removed.
create table stock_movements (
    id         bigint generated always as identity primary key,
    book_id    bigint not null,
    delta      bigint not null check (delta <> 0),
    cause      text not null check (cause in ('initial', 'adjust', 'order', 'cancel')),
    gid        text check ((gid is not null) = (cause in ('order', 'cancel'))),
    created_at timestamptz not null default now()
);
create index stock_movements_by_book on stock_movements (book_id, id);
create index stock_movements_by_gid on stock_movements (gid) where gid is not null;

-- A row is written in the transaction of the change its key stands for, so
-- that a key without an outcome is never seen.
create table idempotency_keys (
    caller       text not null,
    key          text not null,
    request_hash bytea not null,
    status       integer,
    headers      jsonb,
    body         bytea,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    primary key (caller, key)
);
create index idempotency_keys_by_expiry on idempotency_keys (expires_at);

-- What the books branch of a distributed transaction leaves behind.
create table branch_markers (
    gid        text not null,
    branch     text not null,
    state      text not null check (state in ('prepared', 'aborted')),
    deadline   timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (gid, branch)
);
