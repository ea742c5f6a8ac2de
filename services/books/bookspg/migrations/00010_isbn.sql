-- +goose Up

-- A book has one number, whichever of its two forms is written down: an ISBN-10 is the
-- ISBN-13 that begins with 978, with a check digit of its own.
-- +goose StatementBegin
create function isbn13(isbn text) returns text
    language sql immutable strict parallel safe
    return case when length(isbn) = 13 then isbn else
        '978' || left(isbn, 9) || (10 - (38 +
            3 * substr(isbn, 1, 1)::int + substr(isbn, 2, 1)::int + 3 * substr(isbn, 3, 1)::int +
            substr(isbn, 4, 1)::int + 3 * substr(isbn, 5, 1)::int + substr(isbn, 6, 1)::int +
            3 * substr(isbn, 7, 1)::int + substr(isbn, 8, 1)::int + 3 * substr(isbn, 9, 1)::int) % 10) % 10
        end;
-- +goose StatementEnd

-- Books that have both forms of one number already keep them: nobody knows which of them
-- is right. All but the first are marked, until their number is edited.
alter table books add column isbn_shared boolean not null default false;

update books b set isbn_shared = true
where isbn is not null and deleted_at is null and exists (
    select from books f
    where f.isbn is not null and f.deleted_at is null and f.id < b.id and isbn13(f.isbn) = isbn13(b.isbn));

drop index books_isbn;
create unique index books_isbn on books (isbn13(isbn)) where deleted_at is null and not isbn_shared;
