-- +goose Up

-- What a list is searched by. Searched text and the text of a search go through
-- the same functions, so that they cannot differ; see services/README.md.
create extension if not exists unaccent;
create extension if not exists pg_trgm;

-- The form in which text is compared: compatibility forms are resolved (NFKD:
-- full-width letters, ligatures), letters are small and without accents, and
-- initials that stand apart are one chunk (j. k. rowling is j.k. rowling).
-- Marks of scripts that cannot be read without them stay; the vowel signs of
-- Hebrew and Arabic, which are seldom typed, do not.
-- +goose StatementBegin
create function search_fold(raw text) returns text
    language sql stable strict parallel safe
    return regexp_replace(
        normalize(
            regexp_replace(
                translate(
                    public.unaccent('public.unaccent', lower(
                        normalize(translate(regexp_replace(raw, '([^[:space:][:punct:]])[[:space:]]*&[[:space:]]*(?=[^[:space:][:punct:]])', '\1 and ', 'g'), '™®©・゠', ''), NFKD) collate "und-x-icu")),
                    'ςىةیکʼʻʹ', 'σيهيك'''''''),
                '[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640\u00ad\u200b-\u200f\u2060\ufeff]', '', 'g'),
            NFKC),
        '(?<![^[:space:].])([^[:space:][:punct:]0-9])\.?[[:space:]]+(?=[^[:space:][:punct:]0-9](?![^[:space:].]))', '\1.', 'g');
-- +goose StatementEnd

-- The parts of folded text. A chunk is what stands between spaces; its parts are
-- its words (catch-22 has two). A part in a script that is written without spaces
-- between words, or hardly with them (Chinese, Japanese, Korean, Thai, Lao, Burmese,
-- Khmer, Tibetan), is searched by its characters and pairs of them: grams.
-- +goose StatementBegin
create function search_parts(folded text) returns table (chunk integer, part text, grams boolean)
    language plpgsql stable parallel safe rows 10 as $$
begin
    return query
        select c.n::integer, left(p.m[1], 60),
            p.m[1] ~ '^[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]'
        from regexp_split_to_table(folded, '[[:space:]]+') with ordinality c (t, n)
        cross join regexp_matches(c.t collate "und-x-icu",
            '[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+'
            '|(?:(?![\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])[[:alnum:]\u0900-\u0963\u0966-\u0dff])+', 'g')
            with ordinality p (m, n)
        order by c.n, p.n;
end $$;
-- +goose StatementEnd

-- The words of a title, as they are compared with those of a search.
-- +goose StatementBegin
create function search_title(raw text) returns text
    language plpgsql stable strict parallel safe as $$
begin
    return (select left(coalesce(string_agg(p.part, ' '), ''), 100) from search_parts(search_fold(raw)) p);
end $$;
-- +goose StatementEnd

-- A title as people say it: without subtitle, series and leading article.
-- +goose StatementBegin
create function search_key(raw text) returns text
    language plpgsql stable strict parallel safe as $$
begin
    return regexp_replace(coalesce(nullif(search_title(substring(raw from '^[^:(\[/]+')), ''), search_title(raw)),
        '^(the|a|an|le|la|les|der|das|el|los|las|il) (?=.)', '');
end $$;
-- +goose StatementEnd

-- The terms of a text, each with its place: its words, what the words of a chunk
-- make when they are joined (catch22), single characters and pairs of them.
-- In a script of grams, what stands between two of them is no bound of words.
-- +goose StatementBegin
create function search_terms(raw text) returns table (term text, place integer, grams boolean)
    language plpgsql stable parallel safe rows 20 as $$
begin
    return query
        with parts as materialized (
            select p.chunk, p.part, p.grams, row_number() over () as n,
                (sum(case when p.grams then char_length(p.part) else 1 end) over (rows unbounded preceding)
                    - case when p.grams then char_length(p.part) else 0 end)::integer as place
            from search_parts(regexp_replace(search_fold(raw),
                '([\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af])[[:space:][:punct:]]+(?=[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af])',
                '\1', 'g')) p
        )
        select p.part, p.place, false from parts p where not p.grams
        union all
        select (select string_agg(m.part, '' order by m.n) from parts m where m.n between a.n and b.n), a.place, false
        from parts a join parts b on b.chunk = a.chunk and b.n between a.n + 1 and a.n + 3
        where not a.grams and not b.grams
        union all
        select substr(p.part, i, size), p.place + i, true
        from parts p, generate_series(1, char_length(p.part)) i, generate_series(1, 2) size
        where p.grams and i + size - 1 <= char_length(p.part);
end $$;
-- +goose StatementEnd

-- What books are searched by, apart from the entry: an order touches none of it,
-- and a page of the list reads little. Gone books have no row.
create table book_search (
    book_id bigint primary key references books on delete cascade,
    title   text collate "C" not null, -- search_title's
    key     text collate "C" not null, -- search_key's
    -- Terms of the title have weight A, those of the authors B. What a filter asks
    -- for stands here as well, so that one index answers all of it: author/<term>
    -- and language/<tag>, for en-GB also language/en.
    words   tsvector not null
);
create index book_search_by_title on book_search (title, book_id);
create index book_search_by_key on book_search (key, book_id);
-- Without a list of pending entries, which each search would have to read.
create index book_search_words on book_search using gin (words) with (fastupdate = off);

-- Every word that a book has or had: near matches are looked for among these. It
-- grows with the languages' words, not with sales, and nothing is removed from it.
create table search_words (word text collate "C" primary key);
create index search_words_alike on search_words using gin (word gin_trgm_ops) with (fastupdate = off);

-- +goose StatementBegin
create function search_index(b books) returns void
    language plpgsql as $$
declare
    title_terms  tsvector;
    author_terms tsvector;
    found        text[];
begin
    with terms as (
        select 'A' as weight, t.* from search_terms(b.title) t
        union all
        select 'B', t.* from search_terms(array_to_string(b.authors, E'\n')) t
    )
    select string_agg(quote_literal(term) || ':' || least(place, 16383), ' ') filter (where weight = 'A')::tsvector,
        string_agg(quote_literal(term) || ':' || least(place, 16383), ' ') filter (where weight = 'B')::tsvector,
        array_agg(distinct term) filter (where not grams and char_length(term) between 3 and 40)
    into title_terms, author_terms, found
    from terms;
    insert into book_search (book_id, title, key, words)
    values (b.id, search_title(b.title), search_key(b.title),
        setweight(coalesce(title_terms, ''), 'A') || setweight(coalesce(author_terms, ''), 'B')
            || array_to_tsvector(array(select 'author/' || t from unnest(tsvector_to_array(coalesce(author_terms, ''))) t))
            || array_to_tsvector(array(select 'language/' || array_to_string((string_to_array(lower(b.language), '-'))[:n], '-')
                from generate_series(1, cardinality(string_to_array(b.language, '-'))) n)))
    on conflict (book_id) do update set title = excluded.title, key = excluded.key, words = excluded.words;
    -- In order, so that two writers of the same new words wait for each other one way round.
    insert into search_words
    select w from unnest(found) w order by w
    on conflict do nothing;
end $$;
-- +goose StatementEnd

-- A trigger, so that no writer can forget it.
-- +goose StatementBegin
create function search_changed() returns trigger
    language plpgsql as $$
begin
    if new.deleted_at is null then
        perform search_index(new);
    else
        delete from book_search where book_id = new.id;
    end if;
    return null;
end $$;
-- +goose StatementEnd
create trigger search_added after insert on books
    for each row execute function search_changed();
create trigger search_edited after update on books
    for each row when ((old.title, old.authors, old.language, old.deleted_at)
        is distinct from (new.title, new.authors, new.language, new.deleted_at))
    execute function search_changed();

-- The warehouse need not have what is derived from its books: only the key and
-- when it was derived. changed_xid is also what a list that is being read goes by.
select warehouse_track('book_search');
select warehouse_track('search_words');
comment on column book_search.title is 'warehouse: omit';
comment on column book_search.key is 'warehouse: omit';
comment on column book_search.words is 'warehouse: omit';

-- Brings books into the search that were there before it, a batch in a
-- transaction: an edit waits for one batch at most.
-- +goose StatementBegin
create procedure search_backfill(batch integer default 500)
    language plpgsql as $$
declare
    done bigint := 0;
    upto bigint;
begin
    loop
        select max(id) into upto from (select id from books where id > done order by id limit batch) b;
        exit when upto is null;
        perform search_index(b) from (
            select * from books where id > done and id <= upto and deleted_at is null order by id for share) b;
        commit;
        done := upto;
    end loop;
end $$;
-- +goose StatementEnd
