-- +goose Up

-- What the source of an imported book last stated, field by field, so that an
-- import tells what the source has changed from what others have edited since.
-- A row for each imported book, as lasting as the book; apart from books, since
-- to remember is not to edit: no version rises and no cache is told.
create table book_sources (
    book_id    bigint primary key references books,
    stated     jsonb not null,
    updated_at timestamptz not null default now()
);
select warehouse_track('book_sources');

-- Of books nobody has edited since they were added, all is as stated then. Of
-- the others nobody can tell who edited them: they count as edited by hand.
insert into book_sources (book_id, stated)
select id, jsonb_strip_nulls(jsonb_build_object(
    'isbn', isbn, 'title', title, 'authors', authors, 'publishedYear', published_year, 'language', language,
    'price', jsonb_build_object('cents', price_cents, 'currency', currency)))
from books
where source_id is not null and version = 1 and deleted_at is null;

-- A source does not bring back a book that was deleted, so those are looked for too.
create index books_deleted_source_id on books (source_id) where deleted_at is not null;

-- Anthologies and conference proceedings name many authors.
alter table books
    drop constraint books_authors_check,
    add constraint books_authors_check check (cardinality(authors) between 1 and 200) not valid;
alter table books validate constraint books_authors_check;
