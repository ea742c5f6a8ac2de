-- +goose NO TRANSACTION
-- +goose Up

-- Books whose terms are others by 00011 are indexed anew: those with a character
-- of a script of grams. An edit waits for one batch at most.
-- +goose StatementBegin
do $$
declare
    done bigint := 0;
    upto bigint;
begin
    loop
        select max(id) into upto from (select id from books where id > done order by id limit 500) b;
        exit when upto is null;
        perform search_index(b) from (
            select * from books
            where id > done and id <= upto and deleted_at is null and concat(title, authors) ~ '[\u0e00-\u11ff\u1780-\u17ff\u3040-\U0003ffff]'
            order by id for share) b;
        commit;
        done := upto;
    end loop;
end $$;
-- +goose StatementEnd
