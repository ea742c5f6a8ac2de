-- +goose Up

-- A run of characters of a script without spaces is not cut: its words may stand
-- anywhere in it. Words of other scripts are.
-- +goose StatementBegin
create or replace function search_parts(folded text) returns table (chunk integer, part text, grams boolean)
    language plpgsql stable parallel safe rows 10 as $$
begin
    return query
        select m.chunk, case when m.grams then m.part else left(m.part, 60) end, m.grams
        from (
            select c.n::integer as chunk, p.n, p.m[1] as part,
                p.m[1] ~ '^[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]' as grams
            from regexp_split_to_table(folded, '[[:space:]]+') with ordinality c (t, n)
            cross join regexp_matches(c.t collate "und-x-icu",
                '[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+'
                '|(?:(?![\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])[[:alnum:]\u0900-\u0963\u0966-\u0dff])+', 'g')
                with ordinality p (m, n)) m
        order by m.chunk, m.n;
end $$;
-- +goose StatementEnd

-- As before, in time that grows with the text alone. What stands between two
-- characters of a script of grams is neither such a character nor a letter or
-- digit: a class such as [:punct:] takes in vowel and tone marks in one locale and
-- not in another.
-- +goose StatementBegin
create or replace function search_terms(raw text) returns table (term text, place integer, grams boolean)
    language plpgsql stable parallel safe rows 20 as $$
begin
    return query
        with parts as materialized (
            select p.chunk, p.part, p.grams, p.n,
                (sum(case when p.grams then char_length(p.part) else 1 end) over (order by p.n rows unbounded preceding)
                    - case when p.grams then char_length(p.part) else 0 end)::integer as place
            from search_parts(regexp_replace(search_fold(raw) collate "und-x-icu",
                '([\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af])[^[:alnum:]\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+(?=[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af])',
                '\1', 'g')) with ordinality p (chunk, part, grams, n)
        ),
        followed as (
            select p.*, lead(p.part) over w as second, lead(p.part, 2) over w as third, lead(p.part, 3) over w as fourth,
                lead(p.grams) over w as second_grams, lead(p.grams, 2) over w as third_grams, lead(p.grams, 3) over w as fourth_grams
            from parts p
            window w as (partition by p.chunk order by p.n)
        ),
        characters as (
            select c.one, p.place + c.i::integer as place, lead(c.one) over (partition by p.n order by c.i) as next
            from parts p, string_to_table(p.part, null) with ordinality c (one, i)
            where p.grams
        )
        select p.part, p.place, false from parts p where not p.grams
        union all
        select j.joined, f.place, false
        from followed f, lateral (values
            (f.part || f.second, f.second_grams),
            (f.part || f.second || f.third, f.third_grams),
            (f.part || f.second || f.third || f.fourth, f.fourth_grams)) j (joined, ends_in_grams)
        where not f.grams and not j.ends_in_grams
        union all
        select c.one, c.place, true from characters c
        union all
        select c.one || c.next, c.place, true from characters c where c.next is not null;
end $$;
-- +goose StatementEnd

-- As before, for the terms that there is room for: a tsvector has a megabyte, and
-- a list of authors that is as long as a call may be has several of terms. The
-- title comes first, then the authors in their order. Each term of an author stands
-- there twice, by itself and for the filter, and a place takes two to four bytes.
-- +goose StatementBegin
create or replace function search_index(b books) returns void
    language plpgsql as $$
declare
    room constant integer := 300000; -- bytes
    title_terms  tsvector;
    author_terms tsvector;
    found        text[];
begin
    with terms as (
        select t.*, sum(octet_length(t.term) + 12) over (order by t.weight, t.place, t.term rows unbounded preceding) as size
        from (
            select 'A' as weight, a.* from search_terms(b.title) a
            union all
            select 'B', a.* from search_terms(array_to_string(b.authors, E'\n')) a) t
    )
    select string_agg(quote_literal(term) || ':' || least(place, 16383), ' ') filter (where weight = 'A')::tsvector,
        string_agg(quote_literal(term) || ':' || least(place, 16383), ' ') filter (where weight = 'B')::tsvector,
        array_agg(distinct term) filter (where not grams and char_length(term) between 3 and 40)
    into title_terms, author_terms, found
    from terms
    where size <= room;
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
